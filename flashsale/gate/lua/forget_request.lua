-- Gives what is held for a reservation of an erased person other digests and another request key, as the books have them.
-- The units and the counts stay: the counts of the limits move from the old digests to the new ones. A digest that counts nothing is
-- deleted, and so are the unpaid holds of the old digests.
-- Guarantee: safe to repeat; what has changed since the caller read it is not overwritten.
-- KEYS: 1 sale  2 used in campaign  3 used in sale  4 held requests  5 holds  6 unpaid
-- ARGV: 1 run id  2 reservation  3 request key  4 new request key  5 what is held (JSON)  6 the same with the new digests  7 units
--   8 how many old digests  9.. old digests, then new ones (hex)
-- Answers: {word} of looked, not_ready (also where something else is held by now)
if not read_sale() then return {'not_ready'} end
if redis.call('HGET', KEYS[4], ARGV[3]) ~= ARGV[5] then return {'not_ready'} end
redis.call('HDEL', KEYS[4], ARGV[3])
redis.call('HSET', KEYS[4], ARGV[4], ARGV[6])
local counts = redis.call('HGET', KEYS[5], ARGV[2]) == ARGV[3]
if counts then redis.call('HSET', KEYS[5], ARGV[2], ARGV[4]) end
local units, first_new = tonumber(ARGV[7]), 9 + tonumber(ARGV[8])
for _, used in ipairs({KEYS[2], KEYS[3]}) do
  -- The sale's own limit is counted only where it has one.
  local is_kept = redis.call('EXISTS', used) == 1
  for i = 9, first_new - 1 do
    local left = tonumber(redis.call('HGET', used, ARGV[i]) or 0) - (counts and units or 0)
    if left > 0 then redis.call('HSET', used, ARGV[i], left) else redis.call('HDEL', used, ARGV[i]) end
  end
  if counts and is_kept then
    for i = first_new, #ARGV do redis.call('HINCRBY', used, ARGV[i], units) end
  end
end
for i = 9, first_new - 1 do redis.call('HDEL', KEYS[6], ARGV[i]) end
return {'looked'}
