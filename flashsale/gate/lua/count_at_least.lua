-- Raises the counts of digests to what the books know, after a loss. A count that is higher stays.
-- Guarantee: safe to repeat, also while other sales of the campaign go on.
-- KEYS: 1 used in campaign, or unpaid (of the campaign, not of a sale)
-- ARGV: 1 run id  2.. digest (hex) and count in turn
-- Answers: {'looked'}
for i = 2, #ARGV, 2 do
  if tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0) < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return {'looked'}
