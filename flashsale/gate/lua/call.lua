-- Calls the next people of a line: one wave, whatever its size. Numbers that nobody claims any more are passed over.
-- Guarantee: a caller who decided on an older state (others were called since, or units went that no claim took) changes nothing;
--   nobody is called before a better number still present.
-- KEYS: 1 sale  2 line  3 spent  4 waves
-- ARGV: 1 run id  2 seed  3 the last number called, as the caller saw it  4 how many people to call
--   5 how often units were removed from the offer, as the caller saw it
-- Answers: {'looked', last number called} or {word} of not_ready, called_off, closed, paused, not_open
local sale = read_sale()
if not sale then return {'not_ready'} end
local line = redis.call('HMGET', KEYS[2], 'seed', 'called', 'entered', 'opens', 'removed')
if line[1] ~= ARGV[2] then return {'not_ready'} end
local outside = outside_window(sale, line[4])
if outside then return {outside} end
local called, entered = tonumber(line[2]), tonumber(line[3])
if called ~= tonumber(ARGV[3]) or tonumber(line[5] or 0) ~= tonumber(ARGV[5]) then return {'looked', called} end

local last, wanted = called, tonumber(ARGV[4])

local function look_one_by_one(upto)
  while wanted > 0 and last < upto do
    last = last + 1
    wanted = wanted - 1 + redis.call('GETBIT', KEYS[3], last)
  end
end

-- Millions may be absent in a row (a line that carries an order over begins so): whole bytes in which fewer are present than are
-- wanted are leapt over, in leaps that double until one is too far and then halve, down to the byte that has the last one.
local function leap_over_bytes()
  local byte, bytes = (last + 1) / 8, math.floor((entered + 1) / 8)
  local leap, too_far = 1, false
  while wanted > 0 and leap >= 1 do
    local length = math.min(leap, bytes - byte)
    local present = length > 0 and 8 * length - redis.call('BITCOUNT', KEYS[3], byte, byte + length - 1) or 0
    too_far = too_far or length < leap or present >= wanted
    if present < wanted then byte, wanted = byte + length, wanted - present end
    leap = too_far and math.floor(leap / 2) or leap * 2
  end
  last = 8 * byte - 1
end

look_one_by_one(math.min(entered, last + 7 - last % 8))
if wanted > 0 and last % 8 == 7 then leap_over_bytes() end
look_one_by_one(entered)
if last == called then return {'looked', called} end
redis.call('HSET', KEYS[2], 'called', string.format('%.0f', last))
redis.call('ZADD', KEYS[4], last, string.format('%.0f:%.0f', last, sale.now))
return {'looked', last}
