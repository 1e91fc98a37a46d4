-- Marks numbers as spent, so that calling passes over them: of places voided or left before the draw, and of indexes never given.
-- Guarantee: a process that draws the line changes nothing after the line has its seed. Another process was faster then, and a place
--   that was out may have been seen since.
-- KEYS: 1 sale  2 line  3 spent
-- ARGV: 1 run id  2 seed (empty while the line is being drawn)  3.. numbers
-- Answers: {word} of looked, not_ready
if not read_sale() or (redis.call('HGET', KEYS[2], 'seed') or '') ~= ARGV[2] then return {'not_ready'} end
for i = 3, #ARGV do redis.call('SETBIT', KEYS[3], ARGV[i], 1) end
return {'looked'}
