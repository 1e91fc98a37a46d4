-- Takes a reservation that the books have confirmed out of those that come due, and counts it as sold.
-- Guarantee: safe to repeat.
-- KEYS: 1 sale  2 line  3 due
-- ARGV: 1 run id  2 reservation  3 quantity
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
if redis.call('ZREM', KEYS[3], ARGV[2]) == 1 then
  redis.call('HINCRBY', KEYS[2], 'held', -ARGV[3])
  redis.call('HINCRBY', KEYS[2], 'sold', ARGV[3])
end
return {'looked'}
