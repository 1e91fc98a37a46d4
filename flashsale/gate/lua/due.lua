-- Reservations whose deadline has passed on the line's clock for a while, the oldest first, with their held requests (see reserve.lua).
-- KEYS: 1 sale  2 due  3 holds  4 held requests
-- ARGV: 1 run id  2 at most so many  3 for how long, in ms
-- Answers: {'looked', the deadlines up to which holds are due, reservation, held request ...} or {'not_ready'}
local sale = read_sale()
if not sale then return {'not_ready'} end
local upto = sale.now - tonumber(ARGV[3])
local answer = {'looked', upto}
for _, reservation in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', upto, 'LIMIT', 0, ARGV[2])) do
  answer[#answer + 1] = reservation
  answer[#answer + 1] = redis.call('HGET', KEYS[4], redis.call('HGET', KEYS[3], reservation))
end
return answer
