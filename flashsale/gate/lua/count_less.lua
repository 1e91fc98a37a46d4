-- Takes numbers off the counts of digests, and drops the digests whose count is 0.
-- Guarantee: a digest that is counted by another sale at the same time keeps that count.
-- KEYS: 1 used in campaign, or unpaid (of the campaign, not of a sale)
-- ARGV: 1 run id  2.. digest (hex) and number in turn
-- Answers: {'looked'}
for i = 2, #ARGV, 2 do
  local rest = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0) - tonumber(ARGV[i + 1])
  if rest > 0 then redis.call('HSET', KEYS[1], ARGV[i], string.format('%.0f', rest)) else redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return {'looked'}
