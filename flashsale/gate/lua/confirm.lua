-- Takes reservations of one line that the books have confirmed out of those that come due, and counts them as sold.
-- Guarantee: safe to repeat.
-- KEYS: 1 sale  2 line  3 due
-- ARGV: 1 run id  2.. reservation, quantity in turn
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
local sold = 0
for i = 2, #ARGV, 2 do
  if redis.call('ZREM', KEYS[3], ARGV[i]) == 1 then sold = sold + ARGV[i + 1] end
end
if sold > 0 then
  redis.call('HINCRBY', KEYS[2], 'held', -sold)
  redis.call('HINCRBY', KEYS[2], 'sold', sold)
end
return {'looked'}
