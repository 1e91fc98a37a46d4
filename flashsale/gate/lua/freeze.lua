-- Fixes the cohorts of all lines of a sale: the people who were there at the freeze, however late this is called (see enter.lua).
-- Guarantee: the first call fixes the cohorts; later calls return the same.
-- KEYS: 1 sale  2.. the lines
-- ARGV: 1 run id
-- Answers: {'looked', cohort of each line ...} or {word} of not_ready, not_open
local sale = read_sale()
if not sale then return {'not_ready'} end
if sale.wall < sale.freezes then return {'not_open'} end
local answer = {'looked'}
for i = 2, #KEYS do
  freeze_line(sale, KEYS[i])
  answer[i] = tonumber(redis.call('HGET', KEYS[i], 'cohort'))
end
redis.call('HSET', KEYS[1], 'frozen', 1)
return answer
