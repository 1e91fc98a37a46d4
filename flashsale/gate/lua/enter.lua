-- Gives each person of a batch of at most 64 a place in a line: the place that the person has, or the next index.
-- The first call after the freeze fixes the line's cohort before it gives an index. So the cohort holds the people who were there,
-- even if no process has looked after the sale for an hour.
-- Guarantee: one place per person and sale and kind of proof, whatever is sent at once or again; a partner's word never finds, joins
--   or voids a place that a code proved (prelude.lua); once numbers are known, a proof that is new to a place does not lead to it,
--   because a called place could be sold; a refusal changes nothing; when the sale is over, a person only gets back an unchanged place;
--   a question (ARGV 16) gives and changes no place, and its answer says nothing that a person who enters and reserves would not learn.
--
-- How this works: one call serves many people, so keys and digests stand in blocks. With `count` people, `size` digests each, and
-- L lines in the sale:
--
--     keys:  1 ... 10 | out of line 1 ... L | pace of person 1 ... count | pace of caller 1 ... count | bucket of each digest
--                     ^ outs = 10           ^ pacers                                                   ^ buckets = pacers + 2 * count
--     digests:        person 1: 1 ... size | person 2: size + 1 ... 2 * size | ...       the buckets are in the same order
--
-- The blocks at the end have known sizes, so `pacers` and `buckets` are found from the end. Digest number `at` of all has the bytes
-- at * 16 - 15 to at * 16 of ARGV 11 and the hex digits at * 32 - 31 to at * 32 of ARGV 12. prelude.lua shows the packed place.
-- KEYS: 1 sale  2 line  3 voided  4 used in campaign  5 used in sale  6 listed  7 spent  8 unpaid  9 seen
--   10 extra time  11.. out of each of the sale's lines, by line id; then the pace of each person, the pace of each one's
--   caller, and the place bucket of each digest
-- ARGV: 1 run id  2 line id  3 most entries  4 campaign limit  5 sale limit (0: none)
--   6 ms between a person's calls  7 how many at once  8 ms between the caller's calls (0: any)  9 how many at once
--   10 how many people  11 their digests, 16 bytes each, as many for each person  12 the same in hex
--   13 "1": a code proved the digests, "0": a partner says so  14 field of the line that counts the new places of this channel
--   15 most new places of this channel (0: as many as the line has)
--   16 '' enters; 'enter' asks whether the person could enter and reserve; 'reserve' asks the same for a line without places (direct)
--   17.. where the line carries an order over, the old number that each person shows (0: none)
-- Answers: for each person {'entered', index (0 for a question), 1 if new, voided index ...} or {word} of too_many_requests, not_ready,
--   called_off, closed, not_open, place_left (came back too often), place_elsewhere, line_full, not_eligible, limit_reached,
--   unpaid_twice, no_room, wrong_identity
local RETURNS_MAX = 3
local sale = read_sale()
local line = tonumber(ARGV[2])
local most, limit, sale_limit = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local person_gap, person_burst, caller_gap, caller_burst = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local count, raws, hexes = tonumber(ARGV[10]), ARGV[11], ARGV[12]
local by_code, channel_field, channel_most = ARGV[13] == '1', ARGV[14], tonumber(ARGV[15])
local asks, places = ARGV[16] ~= '', ARGV[16] ~= 'reserve'
local size, outs = #raws / 16 / count, 10
local pacers = #KEYS - (2 + size) * count
local buckets = pacers + 2 * count
assert(pacers >= outs + line, 'one out a line, a pace, a caller and one bucket a digest')

local requests, paces, digests = {}, {}, {}
for at = 1, count do
  local first = (at - 1) * size
  requests[at] = {pace = KEYS[pacers + at], caller = KEYS[pacers + count + at], carried = tonumber(ARGV[16 + at]), first = first}
  paces[at], paces[count + at] = requests[at].pace, requests[at].caller
end
for at = 1, size * count do digests[at] = hexes:sub(at * 32 - 31, at * 32) end

-- A digest as it stands in the place buckets.
local function raw(at) return raws:sub(at * 16 - 15, at * 16) end

local full_at = paces_of(paces)

-- Why entering is refused for all, or nil.
local function shut()
  if not sale then return 'not_ready' end
  if sale.state == 'called_off' then return 'called_off' end
  if sale.state == 'closed' or sale.now >= sale.closes then return 'closed' end
  if sale.now < sale.lobby then return 'not_open' end
end
local closed_for = shut()
local over = closed_for == 'called_off' or closed_for == 'closed'
local state, used, used_in_sale, unpaid, listed
if over or not closed_for then
  if not over and not sale.frozen and sale.wall >= sale.freezes then
    freeze_line(sale, KEYS[2])
    sale.frozen = true
  end
  state = redis.call('HMGET', KEYS[2], 'entered', 'block', 'listed', channel_field)
  used = values_of('HMGET', KEYS[4], digests)
  used_in_sale = sale_limit > 0 and values_of('HMGET', KEYS[5], digests)
  unpaid = values_of('HMGET', KEYS[8], digests)
  listed = state[3] == '1' and values_of('SMISMEMBER', KEYS[6], digests)
end
local entered, block = state and tonumber(state[1]), state and tonumber(state[2])
local of_channel = state and tonumber(state[4] or 0)
local given, new = 0, 0

-- What the place buckets and the lists say about a person's digests: `own` is the person's place in this line, `lost` the indexes
-- of later places that are joined with it.
local function read_person(request)
  local found = {lost = {}, returns = 0, eligible = not listed, packed = {}}
  for i = 1, size do
    local at = request.first + i
    local hex = digests[at]
    found.used_up = found.used_up or tonumber(used[hex] or 0) >= limit
    found.used_up = found.used_up or used_in_sale and tonumber(used_in_sale[hex] or 0) >= sale_limit
    found.unpaid = found.unpaid or tonumber(unpaid[hex] or 0) >= UNPAID_MAX
    found.eligible = found.eligible or listed[hex] == 1
    local packed = packed_place_of(places and KEYS[buckets + at], raw(at), by_code)
    found.packed[i] = packed
    if packed then
      local place, own = unpack_place(packed), found.own
      local here = place.line == line
      place.left = redis.call('GETBIT', KEYS[outs + place.line], place.index) == 1
      local voided = here and place.left and redis.call('SISMEMBER', KEYS[3], place.index) == 1
      -- Counted over all lines, because a person who goes to and fro between two lines must not use up their indexes.
      if place.left then found.returns = math.max(found.returns, place.returns + 1) end
      if not here then
        found.elsewhere = found.elsewhere or not place.left
      elseif voided or (place.left and sale.frozen) then
        -- Given up for good, so it is not the person's place any more.
      elseif not own or place.index < own.index then
        found.lost[#found.lost + 1] = own and own.index
        found.own = place
      elseif place.index > own.index then
        found.lost[#found.lost + 1] = place.index
      end
    end
  end
  local own = found.own and pack_place(found.own, by_code)
  for i = 1, size do found.has_new_proof = found.has_new_proof or own and found.packed[i] ~= own end
  return found
end

local function give_index(request, index, returns)
  new = new + 1
  if request.carried then
    redis.call('SETBIT', KEYS[7], index, 0)
    redis.call('SETBIT', KEYS[9], index, 1)
    -- After a loss of the gate, the bit `out` of the last copy in the books may still be set.
    redis.call('SETBIT', KEYS[outs + line], index, 0)
  else
    entered, given = index, given + 1
  end
  return {index = index, line = line, returns = returns}
end

local function enter(request)
  local caller_after = pace_after(full_at[request.caller], caller_gap, caller_burst)
  local after = caller_after and pace_after(full_at[request.pace], person_gap, person_burst)
  if not after then return {'too_many_requests'} end
  full_at[request.caller], full_at[request.pace] = caller_after, after
  if closed_for and not over then return {closed_for} end
  local found = read_person(request)
  local place, is_new = found.own, not found.own
  -- A person who is present gets the unchanged place back on any device, because an order may belong to it. After the sale, or with
  -- the limit used up, nothing new is given and no two places are joined.
  local unchanged = not is_new and not place.left and #found.lost == 0 and not found.elsewhere
  if over and (asks or not unchanged) then return {closed_for} end
  local index = request.carried or entered + 1
  if is_new and found.returns > RETURNS_MAX then return {'place_left'} end
  if found.elsewhere then return {'place_elsewhere'} end
  local channel_full = channel_most > 0 and of_channel + new >= channel_most and not request.carried
  if is_new and (index > most or channel_full) then return {'line_full'} end
  -- A line that carries an order over takes only people with an old number, and only until the draw.
  local eligible = found.eligible and not (is_new and (request.carried == 0 or (request.carried and sale.frozen)))
  if not eligible then return {'not_eligible'} end
  if found.used_up and not unchanged then return {'limit_reached'} end
  if found.unpaid and not unchanged then return {'unpaid_twice'} end
  -- Indexes are given only from blocks that the books have committed, so that no index is given twice after a loss of the gate.
  if is_new and index > block and not asks then return {'no_room'} end
  -- The number of a place is known after the draw, and in a line that carries an order over.
  if found.has_new_proof and (sale.frozen or over or request.carried) then return {'wrong_identity'} end
  if asks then
    -- Who has a place enters again with the limit used up. Reserving says so then.
    if found.used_up then return {'limit_reached'} end
    if found.unpaid then return {'unpaid_twice'} end
    return {'entered', 0, 0}
  end

  if is_new then
    place = give_index(request, index, found.returns)
    -- A new place is given once in a sale, and most people never call again, so their pace is not kept.
    full_at[request.pace] = 0
  elseif place.left then
    -- The person comes back before the draw and gets the same index, as if there had been no leaving.
    redis.call('SETBIT', KEYS[outs + line], place.index, 0)
    redis.call('HINCRBY', KEYS[2], 'left', -1)
  end
  for _, later in ipairs(found.lost) do
    redis.call('SETBIT', KEYS[outs + line], later, 1)
    redis.call('SADD', KEYS[3], later)
    redis.call('ZREM', KEYS[10], later)
  end
  local packed = pack_place(place, by_code)
  for i = 1, size do
    local at = request.first + i
    if found.packed[i] ~= packed then keep_place(KEYS[buckets + at], raw(at), packed) end
  end
  return {'entered', place.index, is_new and 1 or 0, unpack(found.lost)}
end

local answers = {}
for i, request in ipairs(requests) do answers[i] = enter(request) end
if given > 0 then redis.call('HSET', KEYS[2], 'entered', string.format('%.0f', entered)) end
if new > 0 and channel_most > 0 then redis.call('HINCRBY', KEYS[2], channel_field, new) end
keep_paces(full_at)
return answers
