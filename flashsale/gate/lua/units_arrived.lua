-- Takes units that the books have moved to the successor out of those that are on their way.
-- KEYS: 1 sale  2 moving
-- ARGV: 1 run id  2.. units
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
if #ARGV > 1 then redis.call('ZREM', KEYS[2], unpack(ARGV, 2)) end
return {'looked'}
