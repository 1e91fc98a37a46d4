-- Decides a batch of at most 64 reservations on one line; each is all or nothing, and all its checks come before its first write.
-- Guarantee: never more units than are free, never more than the limit, once per place and per request key.
-- KEYS: 1 sale  2 line  3 out  4 voided  5 spent  6 waves  7 used in campaign  8 used in sale  9 asked  10 holds  11 due
--   12 listed  13 patient  14 unpaid  15.. the free units of each offer, then the pace of each request's place
-- ARGV: 1 run id  2 seed  3 ms between a place's requests  4 how many at once  5 how many offers
--   6.. for each request: itself as JSON (messages.Ask), then what of it is judged here: id, key, print, index, number, quantity,
--   campaign limit, sale limit (0: none), how many items, offer's position from 0 and quantity of each, how many digests,
--   each digest (hex); where the line is direct, the script gives index and number
-- Answers: for each request {'reserved', taken, 1 if new} or {word} of too_many_requests, not_ready, key_reused, called_off,
--   closed, paused, not_open, place_voided, place_left, place_spent, not_called, lapsed, not_eligible, limit_reached,
--   unpaid_twice, sold_out, offer_gone.
--   taken is JSON: {ask: the request, units: [[unit, version, offer's position] ...], made, deadline}; it stays under `asked`
local OFFERS = 14
local offers = tonumber(ARGV[5])
local sale = read_sale()
local line = redis.call('HMGET', KEYS[2], 'seed', 'called', 'opens', 'mode', 'listed', 'entered', 'block')
local called = tonumber(line[2] or 0)
local direct = line[4] == 'direct'
local some_voided, some_patient = redis.call('EXISTS', KEYS[4]) == 1, redis.call('EXISTS', KEYS[13]) == 1
local some_unpaid = redis.call('EXISTS', KEYS[14]) == 1
local held = 0

local at = 6
local function next_arg()
  at = at + 1
  return ARGV[at - 1]
end

local function next_ask()
  local ask = {json = next_arg(), id = next_arg(), key = next_arg(), print = next_arg(), index = next_arg(), number = tonumber(next_arg()),
               quantity = tonumber(next_arg()), limit = tonumber(next_arg()), sale_limit = tonumber(next_arg()), items = {}, digests = {}}
  for i = 1, tonumber(next_arg()) do ask.items[i] = {tonumber(next_arg()), tonumber(next_arg())} end
  for i = 1, tonumber(next_arg()) do ask.digests[i] = next_arg() end
  return ask
end

local function place_refused(ask)
  if some_voided and redis.call('SISMEMBER', KEYS[4], ask.index) == 1 then return 'place_voided' end
  if redis.call('GETBIT', KEYS[3], ask.index) == 1 then return 'place_left' end
  if redis.call('GETBIT', KEYS[5], ask.number) == 1 then return 'place_spent' end
  if ask.number > called then return 'not_called' end
  local patient = some_patient and redis.call('ZSCORE', KEYS[13], ask.index)
  if sale.now >= claim_ends(sale, KEYS[6], ask.number, patient) then return 'lapsed' end
end

local function unlisted(ask)
  if line[5] ~= '1' then return nil end
  for _, digest in ipairs(ask.digests) do
    if redis.call('SISMEMBER', KEYS[12], digest) == 1 then return nil end
  end
  return 'not_eligible'
end

local function used_up(key, ask, most)
  for _, used in ipairs(redis.call('HMGET', key, unpack(ask.digests))) do
    if tonumber(used or 0) + ask.quantity > most then return true end
  end
end

local function limit_refused(ask)
  if used_up(KEYS[7], ask, ask.limit) then return 'limit_reached' end
  if ask.sale_limit > 0 and used_up(KEYS[8], ask, ask.sale_limit) then return 'limit_reached' end
end

local function unpaid_refused(ask)
  if not some_unpaid then return nil end
  for _, digest in ipairs(ask.digests) do
    if unpaid_too_often(KEYS[14], digest) then return 'unpaid_twice' end
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
  local whole = cjson.decode(ask.json)
  whole.index, whole.number = index, index
  ask.json, ask.number, line[6] = cjson.encode(whole), index, index
end

local function take(ask)
  if direct then number_directly(ask) end
  local units = {}
  for _, item in ipairs(ask.items) do
    local popped = redis.call('ZPOPMIN', KEYS[OFFERS + 1 + item[1]], item[2])
    for i = 1, #popped, 2 do units[#units + 1] = '[' .. popped[i] .. ',' .. popped[i + 1] .. ',' .. item[1] .. ']' end
  end
  for _, digest in ipairs(ask.digests) do
    redis.call('HINCRBY', KEYS[7], digest, ask.quantity)
    if ask.sale_limit > 0 then redis.call('HINCRBY', KEYS[8], digest, ask.quantity) end
  end
  local deadline = string.format('%.0f', sale.now + sale.hold)
  -- Joined by hand: taking the request apart and putting it together again cost more than everything else here.
  local taken = string.format('{"ask":%s,"units":[%s],"made":%.0f,"deadline":%s}', ask.json, table.concat(units, ','), sale.now, deadline)
  redis.call('SETBIT', KEYS[5], ask.number, 1)
  redis.call('HSET', KEYS[9], ask.key, taken)
  redis.call('HSET', KEYS[10], ask.id, ask.key)
  redis.call('ZADD', KEYS[11], deadline, ask.id)
  held = held + ask.quantity
  return taken
end

local function decide(ask, pace)
  if too_fast(pace, tonumber(ARGV[3]), tonumber(ARGV[4])) then return {'too_many_requests'} end
  if not sale or line[1] ~= ARGV[2] or (sale.still and sale.state ~= 'paused') then return {'not_ready'} end
  -- Direct reservations use up indexes, too: only from blocks that the books know of.
  if direct and tonumber(line[6]) >= tonumber(line[7]) then return {'not_ready'} end
  local seen = redis.call('HGET', KEYS[9], ask.key)
  if seen then
    if cjson.decode(seen).ask.print ~= ask.print then return {'key_reused'} end
    return {'reserved', seen, 0}
  end
  local refusal = outside_window(sale, line[3]) or (not direct and place_refused(ask)) or unlisted(ask)
    or limit_refused(ask) or unpaid_refused(ask) or stock_refused(ask)
  if refusal then return {refusal} end
  return {'reserved', take(ask), 1}
end

local answers = {}
while at <= #ARGV do answers[#answers + 1] = decide(next_ask(), KEYS[OFFERS + offers + #answers + 1]) end
if held > 0 then redis.call('HINCRBY', KEYS[2], 'held', held) end
return answers
