-- What the books have decided about a sale: its state, times, pauses.
-- Guarantee: an older decision never replaces a newer one.
-- KEYS: 1 sale
-- ARGV: 1 run id  2 revision  3.. field, value in turn
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
if tonumber(redis.call('HGET', KEYS[1], 'revision')) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'revision', unpack(ARGV, 2))
end
return {'looked'}
