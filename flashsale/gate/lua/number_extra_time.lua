-- Writes the numbers of places that got extra time before the draw.
-- KEYS: 1 sale  2 extra time
-- ARGV: 1 run id  2.. number, index in turn
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
if #ARGV > 1 then redis.call('ZADD', KEYS[2], 'XX', unpack(ARGV, 2)) end
return {'looked'}
