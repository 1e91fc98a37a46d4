-- Writes the cohort and seed of a line, which the books have committed. After this every place has a number.
-- Guarantee: a line that has a seed keeps it.
-- KEYS: 1 sale  2 line
-- ARGV: 1 run id  2 cohort  3 seed (hex)
-- Answers: {word} of looked, not_ready
local sale = read_sale()
if not sale or not sale.frozen then return {'not_ready'} end
if redis.call('HSETNX', KEYS[2], 'seed', ARGV[3]) == 1 then
  redis.call('HSET', KEYS[2], 'cohort', ARGV[2])
  redis.call('HDEL', KEYS[2], 'waits')
end
return {'looked'}
