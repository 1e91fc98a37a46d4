-- Takes the very units of a reservation that has expired once more, for its money has come after all.
-- Guarantee: only while nobody else has them or was promised them, within window and limit; safe to repeat; unless the books confirm
-- it meanwhile, it comes due again, and whoever finds it due gives everything back.
-- KEYS: 1 sale  2 line  3 used in campaign  4 used in sale  5 asked  6 holds  7 due  8 units  9 unpaid
--   10.. the free units of each offer
-- ARGV: 1 run id  2 what is taken as JSON (see reserve.lua), with the versions at which the books have the units free
--   3 campaign limit  4 sale limit (0: none)  5 how many free units are promised to people who were called
--   6 the last number called, when the promises were counted  7 ms until it comes due
-- Answers: {word} of not_ready, called_off, closed, paused, not_open, limit_reached, offer_gone, reserved
local FREE = 10
local sale = read_sale()
if not sale then return {'not_ready'} end
local refusal = outside_window(sale)
if refusal then return {refusal} end
local taken = cjson.decode(ARGV[2])
local ask = taken.ask
local due = string.format('%.0f', sale.now + tonumber(ARGV[7]))
-- Where the gate has not heard of the expiry, the units still stand with this reservation, and so does its limit.
local here = redis.call('HEXISTS', KEYS[6], ask.id) == 1
if here and redis.call('HGET', KEYS[5], ask.key) == ARGV[2] then
  redis.call('ZADD', KEYS[7], due, ask.id)
  return {'reserved'}
end

local function used_up(key, most)
  for _, digest in ipairs(ask.digests) do
    if tonumber(redis.call('HGET', key, digest) or 0) + ask.quantity > most then return true end
  end
end
if not here and (used_up(KEYS[3], tonumber(ARGV[3])) or (ARGV[4] ~= '0' and used_up(KEYS[4], tonumber(ARGV[4])))) then
  return {'limit_reached'}
end

local free, offered = 0, {}
for i = FREE, #KEYS do free = free + redis.call('ZCARD', KEYS[i]) end
for _, unit in ipairs(taken.units) do
  local known, offer = tonumber(redis.call('HGET', KEYS[8], unit[1]) or -1), KEYS[FREE + unit[3]]
  if redis.call('ZSCORE', offer, unit[1]) then
    offered[#offered + 1] = {offer, unit[1]}
  elseif known >= unit[2] then
    return {'offer_gone'}
  end
end
-- Whoever was called since was promised a unit, too: the promises have to be counted again.
if redis.call('HGET', KEYS[2], 'called') ~= ARGV[6] then return {'not_ready'} end
if #offered > 0 and free - #offered < tonumber(ARGV[5]) then return {'offer_gone'} end

if #offered > 0 then redis.call('HINCRBY', KEYS[2], 'removed', 1) end
for _, unit in ipairs(offered) do redis.call('ZREM', unit[1], unit[2]) end
for _, unit in ipairs(taken.units) do redis.call('HSET', KEYS[8], unit[1], unit[2]) end
if not here then
  for _, digest in ipairs(ask.digests) do
    redis.call('HINCRBY', KEYS[3], digest, ask.quantity)
    if ARGV[4] ~= '0' then redis.call('HINCRBY', KEYS[4], digest, ask.quantity) end
    redis.call('HINCRBY', KEYS[9], digest, -1)
  end
  redis.call('HINCRBY', KEYS[2], 'held', ask.quantity)
  redis.call('HSET', KEYS[6], ask.id, ask.key)
end
redis.call('HSET', KEYS[5], ask.key, ARGV[2])
redis.call('ZADD', KEYS[7], due, ask.id)
return {'reserved'}
