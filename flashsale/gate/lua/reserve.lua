-- Decides a batch of at most 64 reservations on one line; each is all or nothing, and all its checks come before its first write.
-- Guarantee: never more units than are free, never more than the limit, once per place and per request key.
-- KEYS: 1 sale  2 line  3 out  4 voided  5 spent  6 waves  7 used in campaign  8 used in sale  9 asked  10 holds  11 due  12 units
--   13 listed  14 patient  15.. the free units of each offer, then the pace of each request's place
-- ARGV: 1 run id  2 seed  3 ms between a place's requests  4 how many at once  5.. requests, JSON: {id, key, print, index, number, items: [[offer's position from 0, quantity] ...], quantity,
--   digests: [hex ...], limit, sale_limit (0: none), channel}; where the line is direct, the script gives index and number
-- Answers: for each request {'reserved', taken, 1 if new} or {word} of too_many_requests, not_ready, key_reused, called_off, closed, paused, not_open,
--   place_voided, place_left, place_spent, not_called, lapsed, not_eligible, limit_reached, sold_out, offer_gone.
--   taken is JSON: {ask: the request, units: [[unit, version, offer's position] ...], made, deadline}; it stays under `asked`
local OFFERS, ASKS = 14, 4
local sale = read_sale()
local line = redis.call('HMGET', KEYS[2], 'seed', 'called', 'opens', 'mode', 'listed', 'entered', 'block')
local called = tonumber(line[2] or 0)
local direct = line[4] == 'direct'
local offers = #KEYS - OFFERS - (#ARGV - ASKS)

local function place_refused(ask)
  if redis.call('SISMEMBER', KEYS[4], ask.index) == 1 then return 'place_voided' end
  if redis.call('GETBIT', KEYS[3], ask.index) == 1 then return 'place_left' end
  if redis.call('GETBIT', KEYS[5], ask.number) == 1 then return 'place_spent' end
  if ask.number > called then return 'not_called' end
  if sale.now >= claim_ends(sale, KEYS[6], ask.number, redis.call('ZSCORE', KEYS[14], ask.index)) then return 'lapsed' end
end

local function unlisted(ask)
  if line[5] ~= '1' then return nil end
  for _, digest in ipairs(ask.digests) do
    if redis.call('SISMEMBER', KEYS[13], digest) == 1 then return nil end
  end
  return 'not_eligible'
end

local function limit_refused(ask)
  for _, digest in ipairs(ask.digests) do
    if tonumber(redis.call('HGET', KEYS[7], digest) or 0) + ask.quantity > ask.limit then return 'limit_reached' end
    if ask.sale_limit > 0 and tonumber(redis.call('HGET', KEYS[8], digest) or 0) + ask.quantity > ask.sale_limit then return 'limit_reached' end
  end
end

local function stock_refused(ask)
  for _, item in ipairs(ask.items) do
    if redis.call('ZCARD', KEYS[OFFERS + 1 + item[1]]) < item[2] then
      for offer = OFFERS + 1, OFFERS + offers do
        if redis.call('ZCARD', KEYS[offer]) > 0 then return 'offer_gone' end
      end
      return 'sold_out'
    end
  end
end

-- A direct reservation stands in no line: it takes the next index, which is called and done with at once.
local function number_directly(ask)
  local index = tonumber(redis.call('HINCRBY', KEYS[2], 'entered', 1))
  redis.call('HSET', KEYS[2], 'called', index, 'lapsed', index)
  ask.index, ask.number, line[6] = index, index, index
end

local function take(ask)
  if direct then number_directly(ask) end
  local units = {}
  for _, item in ipairs(ask.items) do
    local popped = redis.call('ZPOPMIN', KEYS[OFFERS + 1 + item[1]], item[2])
    for i = 1, #popped, 2 do
      units[#units + 1] = {tonumber(popped[i]), tonumber(popped[i + 1]), item[1]}
      redis.call('HSET', KEYS[12], popped[i], popped[i + 1])
    end
  end
  for _, digest in ipairs(ask.digests) do
    redis.call('HINCRBY', KEYS[7], digest, ask.quantity)
    redis.call('HINCRBY', KEYS[8], digest, ask.quantity)
  end
  local deadline = sale.now + sale.hold
  local taken = cjson.encode({ask = ask, units = units, made = sale.now, deadline = deadline})
  redis.call('SETBIT', KEYS[5], ask.number, 1)
  redis.call('HSET', KEYS[9], ask.key, taken)
  redis.call('HSET', KEYS[10], ask.id, ask.key)
  redis.call('ZADD', KEYS[11], deadline, ask.id)
  redis.call('HINCRBY', KEYS[2], 'held', ask.quantity)
  return taken
end

local function decide(ask, pace)
  if too_fast(pace, tonumber(ARGV[3]), tonumber(ARGV[4])) then return {'too_many_requests'} end
  if not sale or line[1] ~= ARGV[2] then return {'not_ready'} end
  -- Direct reservations use up indexes, too: only from blocks that the books know of.
  if direct and tonumber(line[6]) >= tonumber(line[7]) then return {'not_ready'} end
  local seen = redis.call('HGET', KEYS[9], ask.key)
  if seen then
    if cjson.decode(seen).ask.print ~= ask.print then return {'key_reused'} end
    return {'reserved', seen, 0}
  end
  local refusal = outside_window(sale, line[3]) or (not direct and place_refused(ask)) or unlisted(ask)
    or limit_refused(ask) or stock_refused(ask)
  if refusal then return {refusal} end
  return {'reserved', take(ask), 1}
end

local answers = {}
for i = 1, #ARGV - ASKS do answers[i] = decide(cjson.decode(ARGV[ASKS + i]), KEYS[OFFERS + offers + i]) end
return answers
