-- Gives the place of an erased person up for good, and deletes the digests that lead to it.
-- Guarantee: safe to repeat; a token of the place brings it not back, because a place that is out and seen stays out (look.lua);
--   what was reserved with the place stays reserved.
-- KEYS: 1 sale  2 line  3 out  4 spent  5 seen  6 extra time  7.. the place bucket of each field
-- ARGV: 1 run id  2 index  3 number (0 while not drawn)  4 seed (empty while not drawn)  5.. fields of the buckets, raw
-- Answers: {word} of left, not_ready
local sale = read_sale()
if not sale then return {'not_ready'} end
local index, number = tonumber(ARGV[2]), tonumber(ARGV[3])
-- A caller that has another seed, or has no seed although the line is frozen, would mark the wrong number.
if (redis.call('HGET', KEYS[2], 'seed') or '') ~= ARGV[4] or is_being_drawn(sale, KEYS[2], number) then return {'not_ready'} end
redis.call('SETBIT', KEYS[5], index, 1)
redis.call('ZREM', KEYS[6], index)
if redis.call('SETBIT', KEYS[3], index, 1) == 0 then
  local spent = number > 0 and redis.call('SETBIT', KEYS[4], number, 1) == 1
  if not spent then redis.call('HINCRBY', KEYS[2], 'left', 1) end
end
for i = 5, #ARGV do redis.call('HDEL', KEYS[i + 2], ARGV[i]) end
return {'left'}
