-- What the books have given back: the end of a reservation, units that may be offered again.
-- Guarantee: each message counts once, late and repeated ones change nothing: a reservation ends once, a unit needs a newer version.
-- KEYS: 1 sale  2 line  3 used in campaign  4 used in sale  5 holds  6 due  7 units  8.. the free units of each offer
-- ARGV: 1 run id  2 reservation (empty: none)  3 its quantity  4 how many digests get their limit back  5.. those digests (hex),
--   then unit, version, offer's position from 0 in turn
-- Answers: {'looked', units offered} or {'not_ready'}
if not read_sale() then return {'not_ready'} end
local digests = tonumber(ARGV[4])
if ARGV[2] ~= '' and redis.call('HDEL', KEYS[5], ARGV[2]) == 1 then
  local was_due = redis.call('ZREM', KEYS[6], ARGV[2]) == 1
  redis.call('HINCRBY', KEYS[2], was_due and 'held' or 'sold', -ARGV[3])
  for i = 5, 4 + digests do
    redis.call('HINCRBY', KEYS[3], ARGV[i], -ARGV[3])
    redis.call('HINCRBY', KEYS[4], ARGV[i], -ARGV[3])
  end
end
local offered = 0
for i = 5 + digests, #ARGV, 3 do
  local unit, version = ARGV[i], tonumber(ARGV[i + 1])
  if version > tonumber(redis.call('HGET', KEYS[7], unit) or -1) then
    redis.call('HSET', KEYS[7], unit, version)
    redis.call('ZADD', KEYS[8 + tonumber(ARGV[i + 2])], version, unit)
    offered = offered + 1
  end
end
return {'looked', offered}
