-- The figures of a line: what the status document shows and what calling is decided on. Moves the mark of lapsed claims on.
-- KEYS: 1 sale  2 line  3 spent  4 waves  5 patient  6.. the free units of each offer
-- ARGV: 1 run id
-- Answers: {'looked', wall clock, line's clock, state, frozen, entered, block, cohort or '', seed or '', called, lapsed, open claims,
--   held, sold, left, when the last wave was called or 0,
--   how many indexes were never given, until when the line's clock may run or 0,
--   how often units were removed from the offer by no claim, free of each offer ...} or {'not_ready'}
local sale = read_sale()
if not sale then return {'not_ready'} end
local line = redis.call('HMGET', KEYS[2], 'entered', 'block', 'cohort', 'seed', 'called', 'lapsed', 'held', 'sold', 'left', 'gaps', 'removed')
local called, lapsed = tonumber(line[5]), tonumber(line[6])

while lapsed < called do
  local wave = redis.call('ZRANGEBYSCORE', KEYS[4], lapsed + 1, '+inf', 'LIMIT', 0, 1)[1]
  local last, at = string.match(wave, '^(%d+):(%d+)$')
  if tonumber(at) + sale.claim > sale.now then break end
  lapsed = tonumber(last)
end
if lapsed ~= tonumber(line[6]) then redis.call('HSET', KEYS[2], 'lapsed', string.format('%.0f', lapsed)) end

local function last_wave()
  local wave = redis.call('ZRANGE', KEYS[4], -1, -1)[1]
  return wave and tonumber(string.match(wave, ':(%d+)$')) or 0
end

local open = called - lapsed - count_bits(KEYS[3], lapsed + 1, called)
-- A capped list: those with extra time whose wave has lapsed may still come.
for _, index in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], 1, lapsed)) do
  local number = tonumber(redis.call('ZSCORE', KEYS[5], index))
  if redis.call('GETBIT', KEYS[3], number) == 0 and claim_ends(sale, KEYS[4], number, true) > sale.now then open = open + 1 end
end
local answer = {'looked', sale.wall, sale.now, sale.state, sale.frozen and 1 or 0, tonumber(line[1]), tonumber(line[2]), line[3] or '', line[4] or '',
                called, lapsed, open, tonumber(line[7]), tonumber(line[8]), tonumber(line[9]), last_wave(), tonumber(line[10] or 0), sale.runs_until, tonumber(line[11] or 0)}
for i = 6, #KEYS do answer[#answer + 1] = redis.call('ZCARD', KEYS[i]) end
return answer
