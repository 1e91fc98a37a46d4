-- Gate and books have answered together: the line's clock may run on until the time given.
-- Guarantee: never less long than told before; nothing while the books know of a decision that is not known here.
-- KEYS: 1 sale
-- ARGV: 1 run id  2 revision of the sale in the books  3 until when (wall clock)
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
local known = redis.call('HMGET', KEYS[1], 'revision', 'runs_until')
if tonumber(known[1]) < tonumber(ARGV[2]) then return {'not_ready'} end
if tonumber(known[2] or 0) < tonumber(ARGV[3]) then redis.call('HSET', KEYS[1], 'runs_until', ARGV[3]) end
return {'looked'}
