-- Publishes the root of a line's committed entries, which the books have, and says whether its numbers wait for the beacon.
-- Guarantee: safe to repeat; a line that has a seed waits no more.
-- KEYS: 1 sale  2 line
-- ARGV: 1 run id  2 cohort  3 root (hex)  4 round of the beacon (0: none)  5 "1": the numbers wait for it, "0": they come now
-- Answers: {word} of looked, not_ready
local sale = read_sale()
if not sale or not sale.frozen then return {'not_ready'} end
redis.call('HSET', KEYS[2], 'root', ARGV[3], 'round', ARGV[4])
if redis.call('HEXISTS', KEYS[2], 'seed') == 0 then redis.call('HSET', KEYS[2], 'cohort', ARGV[2], 'waits', ARGV[5]) end
return {'looked'}
