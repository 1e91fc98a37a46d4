-- The figures of a line, for the status document and for the decision how many people to call. Moves the marks of lapsed claims on,
-- and raises the sale's mark.
-- KEYS: 1 sale  2 line  3 spent  4 waves  5 extra time  6.. the free units of each offer
-- ARGV: 1 run id  2 the largest quantity of one person
-- Answers: {'looked', free units of each offer, name, value ...} or {'not_ready'}. The names are the fields of Survey in messages.py.
local sale = read_sale()
if not sale then return {'not_ready'} end
local line = redis.call('HMGET', KEYS[2], 'entered', 'block', 'cohort', 'seed', 'called', 'lapsed', 'held', 'sold', 'left', 'gaps', 'removed', 'late', 'buyers', 'bought', 'root', 'round', 'waits')
local called = tonumber(line[5])

local lapsed = over_upto(sale, KEYS[4], tonumber(line[6]), called, sale.claim)
local late = over_upto(sale, KEYS[4], tonumber(line[12] or 0), called, 2 * sale.claim)
if lapsed ~= tonumber(line[6]) or late ~= tonumber(line[12] or 0) then
  redis.call('HSET', KEYS[2], 'lapsed', string.format('%.0f', lapsed), 'late', string.format('%.0f', late))
end

local function last_wave()
  local wave = redis.call('ZRANGE', KEYS[4], -1, -1)[1]
  return wave and tonumber(string.match(wave, ':(%d+)$')) or 0
end

-- With extra time a claim stays open for a second window. The numbers are read in portions, because a command takes a few thousand
-- arguments.
local extra_time, second = redis.call('ZRANGEBYSCORE', KEYS[5], late + 1, lapsed, 'WITHSCORES'), 0
for start = 2, #extra_time, 2000 do
  local numbers = {}
  for i = start, math.min(start + 1998, #extra_time), 2 do numbers[#numbers + 1] = extra_time[i] end
  for _, spent in pairs(bits_of(KEYS[3], numbers)) do second = second + (spent and 0 or 1) end
end
local open = called - lapsed - count_bits(KEYS[3], lapsed + 1, called) + second
local mark = redis.call('HINCRBY', KEYS[1], 'mark', 1)
local free = {}
for i = 6, #KEYS do free[i - 5] = redis.call('ZCARD', KEYS[i]) end
return {'looked', free,
  'wall', sale.wall, 'now', sale.now, 'state', sale.state, 'frozen', sale.frozen and 1 or 0, 'runs_until', sale.runs_until,
  'entered', tonumber(line[1]), 'block', tonumber(line[2]), 'cohort', line[3] or '', 'seed', line[4] or '',
  'called', called, 'called_at', last_wave(), 'lapsed', lapsed, 'open_claims', open, 'second_claims', second,
  'held', tonumber(line[7]), 'sold', tonumber(line[8]), 'left', tonumber(line[9]),
  'expected', string.format('%.6f', expected_quantity(ARGV[2], line[13], line[14])),
  'gaps', tonumber(line[10] or 0), 'removed', tonumber(line[11] or 0), 'mark', mark, 'root', line[15] or '',
  'round', tonumber(line[16] or 0), 'waits', tonumber(line[17] or 0)}
