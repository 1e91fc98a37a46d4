-- Ends a reservation that the books have ended, and offers units that the books have free again.
-- An abandoned reservation was never committed, so its place and its request key become as if there had been no request. An expired
-- reservation keeps its place spent, and counts as an unpaid hold of its owner. So does an order that its buyer cancelled while the
-- sale was running: its message says "expired", too.
-- Guarantee: each message counts once, late and repeated ones change nothing: a reservation ends once, a unit needs a newer version.
-- KEYS: 1 sale  2 line  3 used in campaign  4 used in sale  5 held requests  6 holds  7 due  8 units  9 spent  10 unpaid
--   11.. the free units of each offer
-- ARGV: 1 run id  2 reservation (empty: none)  3 whether its limit is given back (1 or 0)
--   4 how it ended (expired, released, cancelled, abandoned)  5.. unit, version, offer's position from 0 in turn
-- Answers: {'looked', units offered} or {'not_ready'}
-- Of the held request (HeldRequest in held_request.py), this script reads request.quantity, request.digests and request.number.
if not read_sale() then return {'not_ready'} end
local key = redis.call('HGET', KEYS[6], ARGV[2])
if key then
  -- The stored request says what was counted, so exactly that is counted back, however late the message is.
  local request = cjson.decode(redis.call('HGET', KEYS[5], key)).request
  local was_due = redis.call('ZREM', KEYS[7], ARGV[2]) == 1
  redis.call('HDEL', KEYS[6], ARGV[2])
  redis.call('HINCRBY', KEYS[2], was_due and 'held' or 'sold', -request.quantity)
  if ARGV[3] == '1' then
    for _, digest in ipairs(request.digests) do
      for _, used in ipairs({KEYS[3], KEYS[4]}) do
        -- A rebuild reads the counts from the books, perhaps after the books have ended this reservation.
        if redis.call('HINCRBY', used, digest, -request.quantity) < 0 then redis.call('HSET', used, digest, 0) end
      end
    end
  end
  if ARGV[4] == 'abandoned' then
    redis.call('HDEL', KEYS[5], key)
    redis.call('SETBIT', KEYS[9], request.number, 0)
  elseif ARGV[4] == 'expired' then
    for _, digest in ipairs(request.digests) do redis.call('HINCRBY', KEYS[10], digest, 1) end
  end
end
local offered = 0
for i = 5, #ARGV, 3 do
  local unit, version = ARGV[i], tonumber(ARGV[i + 1])
  if version > tonumber(redis.call('HGET', KEYS[8], unit) or -1) then
    redis.call('HSET', KEYS[8], unit, version)
    redis.call('ZADD', KEYS[11 + tonumber(ARGV[i + 2])], version, unit)
    offered = offered + 1
  end
end
return {'looked', offered}
