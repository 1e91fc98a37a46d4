-- Calls the next people of a line: one wave, whatever its size. Numbers that nobody claims any more are passed over.
-- Guarantee: a caller who decided on an older state changes nothing; nobody is called before a better number still present.
-- KEYS: 1 sale  2 line  3 spent  4 waves
-- ARGV: 1 run id  2 seed  3 the last number called, as the caller saw it  4 how many people to call
-- Answers: {'looked', last number called} or {word} of not_ready, called_off, closed, paused, not_open
local sale = read_sale()
if not sale then return {'not_ready'} end
local line = redis.call('HMGET', KEYS[2], 'seed', 'called', 'entered', 'opens')
if line[1] ~= ARGV[2] then return {'not_ready'} end
local outside = outside_window(sale, line[4])
if outside then return {outside} end
local called, entered = tonumber(line[2]), tonumber(line[3])
if called ~= tonumber(ARGV[3]) then return {'looked', called} end

local last, wanted = called, tonumber(ARGV[4])
while wanted > 0 and last < entered do
  local upto = math.min(entered, last + wanted)
  wanted = wanted - (upto - last) + count_bits(KEYS[3], last + 1, upto)
  last = upto
end
if last == called then return {'looked', called} end
redis.call('HSET', KEYS[2], 'called', string.format('%.0f', last))
redis.call('ZADD', KEYS[4], last, string.format('%.0f:%.0f', last, sale.now))
return {'looked', last}
