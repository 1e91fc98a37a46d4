-- Says when a process must look at a sale again.
-- Guarantee: a look that was asked for while the last one went on is not put off.
-- KEYS: 1 look at (of the installation, not of a sale)
-- ARGV: 1 run id  2 sale code  3 in so many ms  4 the score of the look that ends here; empty: only sooner than it is planned
-- Answers: {'looked'}
local known, at = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2])), wall_clock() + ARGV[3]
local sooner = not known or at < known
local own = ARGV[4] ~= '' and known == tonumber(ARGV[4])
if own or (ARGV[4] == '' and sooner) then redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[2]) end
return {'looked'}
