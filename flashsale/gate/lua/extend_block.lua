-- Lets a line give the indexes of a further block, which the books have committed.
-- Guarantee: the block only grows.
-- KEYS: 1 sale  2 line
-- ARGV: 1 run id  2 last index of the block
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
if tonumber(redis.call('HGET', KEYS[2], 'block')) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[2], 'block', ARGV[2]) end
return {'looked'}
