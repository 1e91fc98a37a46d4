-- The books refused what the gate had taken, and have given it back: the place and the request key are free again.
-- Guarantee: only the reservation that stands under the key is undone, once, and only after its units were given back.
-- KEYS: 1 sale  2 spent  3 asked  4 holds
-- ARGV: 1 run id  2 reservation  3 request key  4 number
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
local taken = redis.call('HGET', KEYS[3], ARGV[3])
-- Somebody else may have committed it meanwhile: then it is still held, and the key must go on telling so.
if redis.call('HEXISTS', KEYS[4], ARGV[2]) == 1 then return {'looked'} end
if taken and cjson.decode(taken).ask.id == ARGV[2] then
  redis.call('HDEL', KEYS[3], ARGV[3])
  redis.call('SETBIT', KEYS[2], ARGV[4], 0)
end
return {'looked'}
