-- Takes numbers out of the calling: of places voided or left before the draw, and of indexes never given.
-- KEYS: 1 sale  2 line  3 spent
-- ARGV: 1 run id  2 the seed that the numbers were drawn with, which the line may not have been told yet  3.. numbers
-- Answers: {word} of looked, not_ready
local seed = redis.call('HGET', KEYS[2], 'seed') or ARGV[2]
if not read_sale() or seed ~= ARGV[2] then return {'not_ready'} end
for i = 3, #ARGV do redis.call('SETBIT', KEYS[3], ARGV[i], 1) end
return {'looked'}
