-- Gate and books have answered together: the line's clock may run on until the time given.
-- Guarantee: never less long than told before; nothing while the books know of a decision that is not known here, and nothing by
--   what was lent before the last decision that is: the clock may have been stopped or moved by it.
-- KEYS: 1 sale
-- ARGV: 1 run id  2 revision of the sale in the books  3 since when (wall clock)  4 until when
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
local revision = tonumber(redis.call('HGET', KEYS[1], 'revision'))
if revision < tonumber(ARGV[2]) then return {'not_ready'} end
if revision == tonumber(ARGV[2]) then lend(ARGV[3], ARGV[4]) end
return {'looked'}
