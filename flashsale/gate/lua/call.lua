-- Calls the next people of a line in one wave, whatever its size. Passes over numbers that are spent.
-- Guarantee: a caller that decided on an older state (people were called since, or units left the offer without a claim) changes
--   nothing; no number is called before a better number that is still present; no number after the last that may be called.
-- KEYS: 1 sale  2 line  3 spent  4 waves
-- ARGV: 1 run id  2 seed  3 the last number called, as the caller saw it  4 how many people to call
--   5 how often units were removed from the offer, as the caller saw it  6 the last number that may be called (0: any)
-- Answers: {'looked', last number called} or {word} of not_ready, called_off, closed, paused, not_open
local sale = read_sale()
if not sale then return {'not_ready'} end
local line = redis.call('HMGET', KEYS[2], 'seed', 'called', 'entered', 'opens', 'removed')
if line[1] ~= ARGV[2] then return {'not_ready'} end
local outside = outside_window(sale, line[4])
if outside then return {outside} end
local called, entered = tonumber(line[2]), tonumber(line[3])
if called ~= tonumber(ARGV[3]) or tonumber(line[5] or 0) ~= tonumber(ARGV[5]) then return {'looked', called} end

local last, people, upto = called, tonumber(ARGV[4]), tonumber(ARGV[6])
upto = upto == 0 and entered or math.max(called, math.min(entered, upto))

local function look_one_by_one(last_one)
  while people > 0 and last < last_one do
    last = last + 1
    people = people - 1 + redis.call('GETBIT', KEYS[3], last)
  end
end

-- Passes over whole bytes. A million numbers in a row may be absent, because a line that carries an order over begins so.
-- BITCOUNT counts the people present in a leap. A leap with fewer people than are still to be called is made, and the next leap is
-- twice as long. After a leap that would go too far, the leaps halve, down to the byte that has the last person to call:
--     1 2 4 8 16 (too far) 8 4 (too far) 2 1
local function leap_over_bytes()
  local byte, bytes = (last + 1) / 8, math.floor((upto + 1) / 8)
  local leap, too_far = 1, false
  while people > 0 and leap >= 1 do
    local length = math.min(leap, bytes - byte)
    local present = length > 0 and 8 * length - redis.call('BITCOUNT', KEYS[3], byte, byte + length - 1) or 0
    too_far = too_far or length < leap or present >= people
    if present < people then byte, people = byte + length, people - present end
    leap = too_far and math.floor(leap / 2) or leap * 2
  end
  last = 8 * byte - 1
end

look_one_by_one(math.min(upto, last + 7 - last % 8))
if people > 0 and last % 8 == 7 then leap_over_bytes() end
look_one_by_one(upto)
if last == called then return {'looked', called} end
redis.call('HSET', KEYS[2], 'called', string.format('%.0f', last))
redis.call('ZADD', KEYS[4], last, string.format('%.0f:%.0f', last, sale.now))
return {'looked', last}
