-- Decides a batch of at most 64 reservations on one line: reads what they need, decides one after the other, writes.
-- Guarantee: never more units than are free, never more than the limit, once per place and per request key; each is all
--   or nothing, and every decision knows those before it.
-- KEYS: 1 sale  2 line  3 out  4 voided  5 spent  6 waves  7 used in campaign  8 used in sale  9 held requests  10 holds  11 due
--   12 listed  13 extra time  14 unpaid  15.. the free units of each offer, then the pace of each request's place
-- ARGV: 1 run id  2 seed  3 ms between a place's requests  4 how many at once  5 how many offers
--   6 most indexes of a direct line  7 overbooking  8 the largest quantity of one person
--   9.. for each request the values of ReserveRequest.to_args (held_request.py): itself as JSON, then what is checked here: id, key,
--   fingerprint, index, number, quantity, campaign limit, sale limit (0: none), how many items, offer's position from 0 and quantity
--   of each, how many digests, each digest (hex)
-- Answers: for each request {'reserved', held request, 1 if new} or {word} of too_many_requests, not_ready, key_reused, called_off,
--   closed, paused, not_open, place_voided, place_left, place_spent, not_called, lapsed, no_more_time (extra time: the
--   free units are kept for others), line_full (direct: no index is left), not_eligible, limit_reached, unpaid_twice, sold_out, offer_gone
--   (also: other people were promised the units), no_room (direct: the books know of no further index yet).
-- The held request is JSON as HeldRequest in held_request.py reads it:
--   {request: the request, units: [[unit, version, offer's position] ...], made_ms, deadline_ms}
-- Of a stored one, this script reads request.fingerprint. In a direct line it sets request.index and request.number of a new one.
local OFFERS = 14
local offers = tonumber(ARGV[5])
local sale = read_sale()
local line = redis.call('HMGET', KEYS[2], 'seed', 'called', 'opens', 'mode', 'listed', 'entered', 'block', 'lapsed', 'buyers', 'bought')
local called, entered = tonumber(line[2] or 0), tonumber(line[6] or 0)
local direct, most = line[4] == 'direct', tonumber(ARGV[6])
local gap, burst = tonumber(ARGV[3]), tonumber(ARGV[4])

local requests, keys, paces, indexes, numbers, digests = {}, {}, {}, {}, {}, {}
local sale_limited, lowest = false, math.huge
local at = 9
local function next_arg()
  at = at + 1
  return ARGV[at - 1]
end
while at <= #ARGV do
  local request = {json = next_arg(), id = next_arg(), key = next_arg(), fingerprint = next_arg(), index = next_arg(), number = next_arg(),
                   quantity = tonumber(next_arg()), limit = tonumber(next_arg()), sale_limit = tonumber(next_arg()), items = {}, digests = {}}
  for i = 1, tonumber(next_arg()) do request.items[i] = {tonumber(next_arg()) + 1, tonumber(next_arg())} end
  for i = 1, tonumber(next_arg()) do
    request.digests[i] = next_arg()
    digests[#digests + 1] = request.digests[i]
  end
  requests[#requests + 1] = request
  sale_limited = sale_limited or request.sale_limit > 0
  lowest = math.min(lowest, tonumber(request.number))
  request.pace = KEYS[OFFERS + offers + #requests]
  keys[#requests], paces[#requests], indexes[#requests], numbers[#requests] = request.key, request.pace, request.index, request.number
end

local full_at = paces_of(paces)
local held_requests = values_of('HMGET', KEYS[9], keys)
local used = values_of('HMGET', KEYS[7], digests)
local used_in_sale = sale_limited and values_of('HMGET', KEYS[8], digests)
local unpaid = values_of('HMGET', KEYS[14], digests)
local listed = line[5] == '1' and values_of('SMISMEMBER', KEYS[12], digests)
local out, voided, spent, extra_time, first_ends = {}, {}, {}, {}, 0
if not direct then
  out, spent = bits_of(KEYS[3], indexes), bits_of(KEYS[5], numbers)
  voided, extra_time = values_of('SMISMEMBER', KEYS[4], indexes), values_of('ZMSCORE', KEYS[13], indexes)
  -- Waves are called in order, so no window in this batch ends before the window of the lowest number.
  if sale and lowest <= called then first_ends = claim_ends(sale, KEYS[6], lowest) end
end
local free = {}
for offer = 1, offers do free[offer] = redis.call('ZCARD', KEYS[OFFERS + offer]) end

-- How many claims are open in their first window. Each of them keeps its units from those in their second window.
local first_claims
local function count_first_claims()
  local lapsed = over_upto(sale, KEYS[6], tonumber(line[8]), called, sale.claim)
  return called - lapsed - count_bits(KEYS[5], lapsed + 1, called)
end

-- How many free units would be left after this quantity, times the overbooking.
local function left_after(quantity)
  local units = 0
  for offer = 1, offers do units = units + free[offer] end
  return units >= quantity and (units - quantity) * tonumber(ARGV[7])
end

-- Whether the free units are all needed by people in their first window. When no unit is free, the answer is sold_out.
local function kept_for_others(quantity)
  first_claims = first_claims or count_first_claims()
  local left = left_after(quantity)
  return left and left < first_claims * expected_quantity(ARGV[8], line[9], line[10])
end

local function place_refused(request)
  if voided[request.index] == 1 then return 'place_voided' end
  if out[request.index] then return 'place_left' end
  if spent[request.number] then return 'place_spent' end
  if tonumber(request.number) > called then return 'not_called' end
  if sale.now < first_ends then return nil end
  local ends = claim_ends(sale, KEYS[6], request.number)
  request.second = sale.now >= ends
  if not request.second then return nil end
  if not extra_time[request.index] or sale.now >= ends + sale.claim then return 'lapsed' end
  if kept_for_others(request.quantity) then return 'no_more_time' end
end

-- A direct reservation has no place in a line, but it uses an index, too: only from blocks that the books have committed.
local function index_refused()
  if entered >= most then return 'line_full' end
end

local function room_refused()
  if direct and entered >= tonumber(line[7]) then return 'no_room' end
end

local function unlisted(request)
  if not listed then return nil end
  for _, digest in ipairs(request.digests) do
    if listed[digest] == 1 then return nil end
  end
  return 'not_eligible'
end

local function used_up(counts, request, most)
  for _, digest in ipairs(request.digests) do
    if tonumber(counts[digest] or 0) + request.quantity > most then return true end
  end
end

local function limit_refused(request)
  if used_up(used, request, request.limit) then return 'limit_reached' end
  if request.sale_limit > 0 and used_up(used_in_sale, request, request.sale_limit) then return 'limit_reached' end
end

local function unpaid_refused(request)
  for _, digest in ipairs(request.digests) do
    if tonumber(unpaid[digest] or 0) >= UNPAID_MAX then return 'unpaid_twice' end
  end
end

local function stock_refused(request)
  for _, item in ipairs(request.items) do
    if free[item[1]] < item[2] then
      for offer = 1, offers do
        if free[offer] > 0 then return 'offer_gone' end
      end
      return 'sold_out'
    end
  end
end

-- Each other person in a first window is promised one unit. So a person gets more than one only from the units that are left then.
local function promise_refused(request)
  if direct or request.quantity == 1 then return nil end
  first_claims = first_claims or count_first_claims()
  if left_after(request.quantity) < first_claims - (request.second and 0 or 1) then return 'offer_gone' end
end

local new, counted = {}, {}

-- Gives a direct request the next index. The number is the same, and it is called and spent at once.
local function number_directly(request)
  entered = entered + 1
  local whole = cjson.decode(request.json)
  whole.index, whole.number = entered, entered
  request.json, request.number = cjson.encode(whole), entered
end

local function take(request)
  if direct then number_directly(request) end
  for _, item in ipairs(request.items) do free[item[1]] = free[item[1]] - item[2] end
  for _, digest in ipairs(request.digests) do
    used[digest] = tonumber(used[digest] or 0) + request.quantity
    if used_in_sale then used_in_sale[digest] = tonumber(used_in_sale[digest] or 0) + request.quantity end
    counted[digest] = true
  end
  if first_claims and not request.second then first_claims = first_claims - 1 end
  spent[request.number], held_requests[request.key] = true, request
  new[#new + 1] = request
end

-- `held` is the JSON of an earlier call, or a request of this batch.
local function fingerprint_of(held)
  return type(held) == 'table' and held.fingerprint or cjson.decode(held).request.fingerprint
end

-- Whether the line's clock stands although it should run. It may stand in a pause, and after a sale that has no held units any more.
local function stands()
  return sale.still and sale.state ~= 'paused' and sale.state ~= 'called_off' and sale.now < sale.closes
end

local function decide(request)
  local after = pace_after(full_at[request.pace], gap, burst)
  if not after then return {'too_many_requests'} end
  full_at[request.pace] = after
  if not sale or line[1] ~= ARGV[2] or stands() then return {'not_ready'} end
  local held = held_requests[request.key]
  if held then
    if fingerprint_of(held) ~= request.fingerprint then return {'key_reused'} end
    return {'reserved', held, 0}
  end
  local refusal = outside_window(sale, line[3]) or (direct and index_refused or place_refused)(request) or unlisted(request)
    or limit_refused(request) or unpaid_refused(request) or stock_refused(request) or promise_refused(request)
    or room_refused()
  if refusal then return {refusal} end
  take(request)
  full_at[request.pace] = 0  -- the place is spent, so it sends nothing more that would have to be slowed down
  return {'reserved', request, 1}
end

local answers = {}
for i, request in ipairs(requests) do answers[i] = decide(request) end
keep_paces(full_at)
if #new == 0 then return answers end

local made, deadline = string.format('%.0f', sale.now), string.format('%.0f', sale.now + sale.hold)
local to_held_requests, to_holds, to_due, to_spent, held = {}, {}, {}, {}, 0
for i, request in ipairs(new) do
  local units = {}
  for _, item in ipairs(request.items) do
    local popped = redis.call('ZPOPMIN', KEYS[OFFERS + item[1]], item[2])
    for unit = 1, #popped, 2 do units[#units + 1] = '[' .. popped[unit] .. ',' .. popped[unit + 1] .. ',' .. item[1] - 1 .. ']' end
  end
  -- The JSON is joined as text: decoding and encoding the request would cost more than everything else here.
  request.held = '{"request":' .. request.json .. ',"units":[' .. table.concat(units, ',') .. '],"made_ms":' .. made .. ',"deadline_ms":' .. deadline .. '}'
  to_held_requests[2 * i - 1], to_held_requests[2 * i] = request.key, request.held
  to_holds[2 * i - 1], to_holds[2 * i] = request.id, request.key
  to_due[2 * i - 1], to_due[2 * i] = deadline, request.id
  to_spent[4 * i - 3], to_spent[4 * i - 2], to_spent[4 * i - 1], to_spent[4 * i] = 'SET', 'u1', request.number, 1
  held = held + request.quantity
end
redis.call('HSET', KEYS[9], unpack(to_held_requests))
redis.call('HSET', KEYS[10], unpack(to_holds))
redis.call('ZADD', KEYS[11], unpack(to_due))
redis.call('BITFIELD', KEYS[5], unpack(to_spent))
local to_used, to_used_in_sale = {}, {}
for digest in pairs(counted) do
  to_used[#to_used + 1], to_used[#to_used + 2] = digest, used[digest]
  if used_in_sale then to_used_in_sale[#to_used_in_sale + 1], to_used_in_sale[#to_used_in_sale + 2] = digest, used_in_sale[digest] end
end
if #to_used > 0 then redis.call('HSET', KEYS[7], unpack(to_used)) end
if #to_used_in_sale > 0 then redis.call('HSET', KEYS[8], unpack(to_used_in_sale)) end
redis.call('HINCRBY', KEYS[2], 'held', held)
-- Where one person may buy one unit only, as many are expected.
if not direct and ARGV[8] ~= '1' then
  redis.call('HINCRBY', KEYS[2], 'buyers', #new)
  redis.call('HINCRBY', KEYS[2], 'bought', held)
end
if direct then redis.call('HSET', KEYS[2], 'entered', entered, 'called', entered, 'lapsed', entered) end
for _, answer in ipairs(answers) do
  if type(answer[2]) == 'table' then answer[2] = answer[2].held end
end
return answers
