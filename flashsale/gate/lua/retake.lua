-- Takes the same units of an expired reservation once more, because its payment has come late.
-- Guarantee: only units that were not given to another person or promised to one, within window and limit; safe to repeat; if the
--   books do not confirm the reservation meanwhile, it comes due again, and the reaper gives everything back.
--
-- How this works: a unit of the expired reservation is in one of three states here, which its version (KEYS 8) tells:
--
--     the unit                            in the offer?   known version    what happens
--     the gate knows that it is free      yes             = its version    taken out of the offer
--     the gate does not know it yet       no              < its version    taken at once: the late message changes nothing then
--     another person has it               no              >= its version   offer_gone
--
-- Units in the offer may be promised to people who were called. So they are taken only while enough units stay free for them. The
-- caller has counted the promises at a last number called; when more people were called since, it must count again (not_ready).
-- KEYS: 1 sale  2 line  3 used in campaign  4 used in sale  5 held requests  6 holds  7 due  8 units  9 unpaid
--   10.. the free units of each offer
-- ARGV: 1 run id  2 the held request as JSON (HeldRequest in held_request.py), with the versions at which the units are free in the books
--   3 campaign limit  4 sale limit (0: none)  5 how many free units are promised to people who were called
--   6 the last number called, when the promises were counted  7 ms until it comes due
-- Answers: {word} of not_ready, called_off, closed, paused, not_open, limit_reached, offer_gone, reserved.
-- Of the held request, this script reads units, request.id, request.key, request.quantity and request.digests.
local FREE = 10
local sale = read_sale()
if not sale then return {'not_ready'} end
local refusal = outside_window(sale)
if refusal then return {refusal} end
local held = cjson.decode(ARGV[2])
local request = held.request
local due = string.format('%.0f', sale.now + tonumber(ARGV[7]))
-- When the gate has not got the message of the expiry, it still counts the units and the limit for this reservation. When it has the
-- same held request, this call is a repetition. When the reservation does not come due, another process has confirmed it meanwhile.
local here = redis.call('HEXISTS', KEYS[6], request.id) == 1
if here and not redis.call('ZSCORE', KEYS[7], request.id) then return {'reserved'} end
if here and redis.call('HGET', KEYS[5], request.key) == ARGV[2] then
  redis.call('ZADD', KEYS[7], due, request.id)
  return {'reserved'}
end

local function used_up(key, most)
  for _, digest in ipairs(request.digests) do
    if tonumber(redis.call('HGET', key, digest) or 0) + request.quantity > most then return true end
  end
end
if not here and (used_up(KEYS[3], tonumber(ARGV[3])) or (ARGV[4] ~= '0' and used_up(KEYS[4], tonumber(ARGV[4])))) then
  return {'limit_reached'}
end

local free, offered = 0, {}
for i = FREE, #KEYS do free = free + redis.call('ZCARD', KEYS[i]) end
for _, unit in ipairs(held.units) do
  local known, offer = tonumber(redis.call('HGET', KEYS[8], unit[1]) or -1), KEYS[FREE + unit[3]]
  if redis.call('ZSCORE', offer, unit[1]) then
    offered[#offered + 1] = {offer, unit[1]}
  elseif known >= unit[2] then
    return {'offer_gone'}
  end
end
-- People who were called since were promised units, too, so the promises have to be counted again.
if redis.call('HGET', KEYS[2], 'called') ~= ARGV[6] then return {'not_ready'} end
if #offered > 0 and free - #offered < tonumber(ARGV[5]) then return {'offer_gone'} end

if #offered > 0 then redis.call('HINCRBY', KEYS[2], 'removed', 1) end
for _, unit in ipairs(offered) do redis.call('ZREM', unit[1], unit[2]) end
for _, unit in ipairs(held.units) do redis.call('HSET', KEYS[8], unit[1], unit[2]) end
if not here then
  for _, digest in ipairs(request.digests) do
    redis.call('HINCRBY', KEYS[3], digest, request.quantity)
    if ARGV[4] ~= '0' then redis.call('HINCRBY', KEYS[4], digest, request.quantity) end
    redis.call('HINCRBY', KEYS[9], digest, -1)
  end
  redis.call('HINCRBY', KEYS[2], 'held', request.quantity)
  redis.call('HSET', KEYS[6], request.id, request.key)
end
redis.call('HSET', KEYS[5], request.key, ARGV[2])
redis.call('ZADD', KEYS[7], due, request.id)
return {'reserved'}
