-- What the books have decided about a sale: its state, times, pauses.
-- Guarantee: an older decision never replaces a newer one; the clock may never run less long than told before.
-- KEYS: 1 sale
-- ARGV: 1 run id  2 revision  3.. field, value in turn
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
if tonumber(redis.call('HGET', KEYS[1], 'revision')) < tonumber(ARGV[2]) then
  local runs_until = redis.call('HGET', KEYS[1], 'runs_until') or 0
  redis.call('HSET', KEYS[1], 'revision', unpack(ARGV, 2))
  local told = redis.call('HGET', KEYS[1], 'runs_until') or 0
  redis.call('HSET', KEYS[1], 'runs_until', string.format('%.0f', math.max(runs_until, told)))
end
return {'looked'}
