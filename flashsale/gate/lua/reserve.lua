-- Decides a batch of at most 64 reservations on one line: reads what they need, decides one after the other, writes.
-- Guarantee: never more units than are free, never more than the limit, once per place and per request key; each is all
--   or nothing, and every decision knows those before it.
-- KEYS: 1 sale  2 line  3 out  4 voided  5 spent  6 waves  7 used in campaign  8 used in sale  9 asked  10 holds  11 due
--   12 listed  13 patient  14 unpaid  15.. the free units of each offer, then the pace of each request's place
-- ARGV: 1 run id  2 seed  3 ms between a place's requests  4 how many at once  5 how many offers
--   6 most indexes of a direct line
--   7.. for each request: itself as JSON (messages.Ask), then what of it is judged here: id, key, print, index, number, quantity,
--   campaign limit, sale limit (0: none), how many items, offer's position from 0 and quantity of each, how many digests,
--   each digest (hex); where the line is direct, the script gives index and number
-- Answers: for each request {'reserved', taken, 1 if new} or {word} of too_many_requests, not_ready, key_reused, called_off,
--   closed, paused, not_open, place_voided, place_left, place_spent, not_called, lapsed, line_full (direct: no index is left),
--   not_eligible, limit_reached, unpaid_twice, sold_out, offer_gone, no_room (direct: the books know of no further index yet).
--   taken is JSON: {ask: the request, units: [[unit, version, offer's position] ...], made, deadline}; it stays under `asked`
local OFFERS = 14
local offers = tonumber(ARGV[5])
local sale = read_sale()
local line = redis.call('HMGET', KEYS[2], 'seed', 'called', 'opens', 'mode', 'listed', 'entered', 'block')
local called, entered = tonumber(line[2] or 0), tonumber(line[6] or 0)
local direct, most = line[4] == 'direct', tonumber(ARGV[6])
local gap, burst = tonumber(ARGV[3]), tonumber(ARGV[4])

local asks, keys, paces, indexes, numbers, digests = {}, {}, {}, {}, {}, {}
local sale_limited, lowest = false, math.huge
local at = 7
local function next_arg()
  at = at + 1
  return ARGV[at - 1]
end
while at <= #ARGV do
  local ask = {json = next_arg(), id = next_arg(), key = next_arg(), print = next_arg(), index = next_arg(), number = next_arg(),
               quantity = tonumber(next_arg()), limit = tonumber(next_arg()), sale_limit = tonumber(next_arg()), items = {}, digests = {}}
  for i = 1, tonumber(next_arg()) do ask.items[i] = {tonumber(next_arg()) + 1, tonumber(next_arg())} end
  for i = 1, tonumber(next_arg()) do
    ask.digests[i] = next_arg()
    digests[#digests + 1] = ask.digests[i]
  end
  asks[#asks + 1] = ask
  sale_limited = sale_limited or ask.sale_limit > 0
  lowest = math.min(lowest, tonumber(ask.number))
  ask.pace = KEYS[OFFERS + offers + #asks]
  keys[#asks], paces[#asks], indexes[#asks], numbers[#asks] = ask.key, ask.pace, ask.index, ask.number
end

local full_at = paces_of(paces)
local asked = values_of('HMGET', KEYS[9], keys)
local used = values_of('HMGET', KEYS[7], digests)
local used_in_sale = sale_limited and values_of('HMGET', KEYS[8], digests)
local unpaid = values_of('HMGET', KEYS[14], digests)
local listed = line[5] == '1' and values_of('SMISMEMBER', KEYS[12], digests)
local out, voided, spent, patient, first_ends = {}, {}, {}, {}, 0
if not direct then
  out, spent = bits_of(KEYS[3], indexes), bits_of(KEYS[5], numbers)
  voided, patient = values_of('SMISMEMBER', KEYS[4], indexes), values_of('ZMSCORE', KEYS[13], indexes)
  -- Waves are called in order: before the window of the lowest number ends, nobody's in this batch has.
  if sale and lowest <= called then first_ends = claim_ends(sale, KEYS[6], lowest) end
end
local free = {}
for offer = 1, offers do free[offer] = redis.call('ZCARD', KEYS[OFFERS + offer]) end

local function place_refused(ask)
  if voided[ask.index] == 1 then return 'place_voided' end
  if out[ask.index] then return 'place_left' end
  if spent[ask.number] then return 'place_spent' end
  if tonumber(ask.number) > called then return 'not_called' end
  if sale.now >= first_ends and sale.now >= claim_ends(sale, KEYS[6], ask.number, patient[ask.index]) then return 'lapsed' end
end

-- A direct reservation stands in no line, but it uses up an index, too: only from blocks that the books know of.
local function index_refused()
  if entered >= most then return 'line_full' end
end

local function room_refused()
  if direct and entered >= tonumber(line[7]) then return 'no_room' end
end

local function unlisted(ask)
  if not listed then return nil end
  for _, digest in ipairs(ask.digests) do
    if listed[digest] == 1 then return nil end
  end
  return 'not_eligible'
end

local function used_up(counts, ask, most)
  for _, digest in ipairs(ask.digests) do
    if tonumber(counts[digest] or 0) + ask.quantity > most then return true end
  end
end

local function limit_refused(ask)
  if used_up(used, ask, ask.limit) then return 'limit_reached' end
  if ask.sale_limit > 0 and used_up(used_in_sale, ask, ask.sale_limit) then return 'limit_reached' end
end

local function unpaid_refused(ask)
  for _, digest in ipairs(ask.digests) do
    if tonumber(unpaid[digest] or 0) >= UNPAID_MAX then return 'unpaid_twice' end
  end
end

local function stock_refused(ask)
  for _, item in ipairs(ask.items) do
    if free[item[1]] < item[2] then
      for offer = 1, offers do
        if free[offer] > 0 then return 'offer_gone' end
      end
      return 'sold_out'
    end
  end
end

local won, counted = {}, {}

-- It takes the next index, which is called and done with at once.
local function number_directly(ask)
  entered = entered + 1
  local whole = cjson.decode(ask.json)
  whole.index, whole.number = entered, entered
  ask.json, ask.number = cjson.encode(whole), entered
end

local function take(ask)
  if direct then number_directly(ask) end
  for _, item in ipairs(ask.items) do free[item[1]] = free[item[1]] - item[2] end
  for _, digest in ipairs(ask.digests) do
    used[digest] = tonumber(used[digest] or 0) + ask.quantity
    if used_in_sale then used_in_sale[digest] = tonumber(used_in_sale[digest] or 0) + ask.quantity end
    counted[digest] = true
  end
  spent[ask.number], asked[ask.key] = true, ask
  won[#won + 1] = ask
end

local function print_of(taken)
  return type(taken) == 'table' and taken.print or cjson.decode(taken).ask.print
end

local function decide(ask)
  local after = pace_after(full_at[ask.pace], gap, burst)
  if not after then return {'too_many_requests'} end
  full_at[ask.pace] = after
  if not sale or line[1] ~= ARGV[2] or (sale.still and sale.state ~= 'paused') then return {'not_ready'} end
  local seen = asked[ask.key]
  if seen then
    if print_of(seen) ~= ask.print then return {'key_reused'} end
    return {'reserved', seen, 0}
  end
  local refusal = outside_window(sale, line[3]) or (direct and index_refused or place_refused)(ask) or unlisted(ask)
    or limit_refused(ask) or unpaid_refused(ask) or stock_refused(ask) or room_refused()
  if refusal then return {refusal} end
  take(ask)
  full_at[ask.pace] = 0  -- the place is spent: nothing more to slow down
  return {'reserved', ask, 1}
end

local answers = {}
for i, ask in ipairs(asks) do answers[i] = decide(ask) end
keep_paces(full_at)
if #won == 0 then return answers end

local made, deadline = string.format('%.0f', sale.now), string.format('%.0f', sale.now + sale.hold)
local to_asked, to_holds, to_due, to_spent, held = {}, {}, {}, {}, 0
for i, ask in ipairs(won) do
  local units = {}
  for _, item in ipairs(ask.items) do
    local popped = redis.call('ZPOPMIN', KEYS[OFFERS + item[1]], item[2])
    for unit = 1, #popped, 2 do units[#units + 1] = '[' .. popped[unit] .. ',' .. popped[unit + 1] .. ',' .. item[1] - 1 .. ']' end
  end
  -- Joined by hand: taking the request apart and putting it together again cost more than everything else here.
  ask.taken = '{"ask":' .. ask.json .. ',"units":[' .. table.concat(units, ',') .. '],"made":' .. made .. ',"deadline":' .. deadline .. '}'
  to_asked[2 * i - 1], to_asked[2 * i] = ask.key, ask.taken
  to_holds[2 * i - 1], to_holds[2 * i] = ask.id, ask.key
  to_due[2 * i - 1], to_due[2 * i] = deadline, ask.id
  to_spent[4 * i - 3], to_spent[4 * i - 2], to_spent[4 * i - 1], to_spent[4 * i] = 'SET', 'u1', ask.number, 1
  held = held + ask.quantity
end
redis.call('HSET', KEYS[9], unpack(to_asked))
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
if direct then redis.call('HSET', KEYS[2], 'entered', entered, 'called', entered, 'lapsed', entered) end
for _, answer in ipairs(answers) do
  if type(answer[2]) == 'table' then answer[2] = answer[2].taken end
end
return answers
