-- The figures of a line: what the status document shows and what calling is decided on. Moves the marks of lapsed claims on.
-- KEYS: 1 sale  2 line  3 spent  4 waves  5 patient  6.. the free units of each offer
-- ARGV: 1 run id
-- Answers: {'looked', wall clock, line's clock, state, frozen, entered, block, cohort or '', seed or '', called, lapsed, open claims,
--   held, sold, left, when the last wave was called or 0,
--   how many indexes were never given, until when the line's clock may run or 0,
--   how often units were removed from the offer by no claim, free of each offer ...} or {'not_ready'}
local sale = read_sale()
if not sale then return {'not_ready'} end
local line = redis.call('HMGET', KEYS[2], 'entered', 'block', 'cohort', 'seed', 'called', 'lapsed', 'held', 'sold', 'left', 'gaps', 'removed', 'late')
local called = tonumber(line[5])

-- Up to which number a window of this length is over: from a mark on, wave by wave.
local function over_upto(mark, window)
  while mark < called do
    local wave = redis.call('ZRANGEBYSCORE', KEYS[4], mark + 1, '+inf', 'LIMIT', 0, 1)[1]
    local last, at = string.match(wave or '', '^(%d+):(%d+)$')
    if not wave or tonumber(at) + window > sale.now then break end
    mark = tonumber(last)
  end
  return mark
end
local lapsed, late = over_upto(tonumber(line[6]), sale.claim), over_upto(tonumber(line[12] or 0), 2 * sale.claim)
if lapsed ~= tonumber(line[6]) or late ~= tonumber(line[12] or 0) then
  redis.call('HSET', KEYS[2], 'lapsed', string.format('%.0f', lapsed), 'late', string.format('%.0f', late))
end

local function last_wave()
  local wave = redis.call('ZRANGE', KEYS[4], -1, -1)[1]
  return wave and tonumber(string.match(wave, ':(%d+)$')) or 0
end

local open = called - lapsed - count_bits(KEYS[3], lapsed + 1, called)
-- A capped list: those with extra time may still come until twice the window is over.
local patient = redis.call('ZRANGEBYSCORE', KEYS[5], late + 1, lapsed, 'WITHSCORES')
for i = 2, #patient, 2 do open = open + 1 - redis.call('GETBIT', KEYS[3], patient[i]) end
local answer = {'looked', sale.wall, sale.now, sale.state, sale.frozen and 1 or 0, tonumber(line[1]), tonumber(line[2]), line[3] or '', line[4] or '',
                called, lapsed, open, tonumber(line[7]), tonumber(line[8]), tonumber(line[9]), last_wave(), tonumber(line[10] or 0), sale.runs_until, tonumber(line[11] or 0)}
for i = 6, #KEYS do answer[#answer + 1] = redis.call('ZCARD', KEYS[i]) end
return answer
