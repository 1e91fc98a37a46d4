-- Lets the line's clock run until the given time, because gate and books have answered together.
-- Guarantee: never shortens the lease. Changes nothing while the books have a newer decision than the gate. Changes nothing when the
--   lease belongs to an older decision than the gate has, because the newer decision may have stopped or moved the clock.
-- KEYS: 1 sale
-- ARGV: 1 run id  2 revision of the sale in the books  3 since when (wall clock)  4 until when
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
local revision = tonumber(redis.call('HGET', KEYS[1], 'revision'))
if revision < tonumber(ARGV[2]) then return {'not_ready'} end
if revision == tonumber(ARGV[2]) then extend_clock(ARGV[3], ARGV[4]) end
return {'looked'}
