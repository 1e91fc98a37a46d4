-- Gives each identity of a batch of at most 64 its place in a line: the one it has, or the next index.
-- Whoever enters first after the opening ends the line's cohort before, so that it holds those who were there, even if
-- nobody has looked for an hour.
-- Guarantee: one place per identity and sale, whatever is sent at once or again; a refusal changes nothing, and when the sale is
--   over nothing is given but a place as it is.
-- KEYS: 1 sale  2 line  3 voided  4 used in campaign  5 used in sale  6 listed  7 spent  8 unpaid  9 seen
--   10 patient  11.. out of each of the sale's lines, by its number; then the pace of each identity, the pace of each one's
--   caller, and the place bucket of each digest
-- ARGV: 1 run id  2 line number  3 most entries  4 campaign limit  5 sale limit (0: none)
--   6 ms between an identity's calls  7 how many at once  8 ms between its caller's calls (0: any)  9 how many at once
--   10 how many identities  11 their digests, 16 bytes each, as many for each of them  12 the same in hex
--   13.. where the line carries an order over, the old number that each shows (0: none)
-- Answers: for each identity {'entered', index, 1 if new, voided index ...} or {word} of too_many_requests, not_ready,
--   called_off, closed, not_open, place_left (came back too often), place_elsewhere, line_full, not_eligible, limit_reached,
--   unpaid_twice, no_room
local RETURNS_MAX = 3
local sale = read_sale()
local line = tonumber(ARGV[2])
local most, limit, sale_limit = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local identity_gap, identity_burst, caller_gap, caller_burst = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local count, raws, hexes = tonumber(ARGV[10]), ARGV[11], ARGV[12]
local size, outs = #raws / 16 / count, 10
local pacers = #KEYS - (2 + size) * count
local buckets = pacers + 2 * count
assert(pacers >= outs + line, 'one out a line, a pace, a caller and one bucket a digest')

local asks, paces, digests = {}, {}, {}
for at = 1, count do
  local first = (at - 1) * size
  asks[at] = {pace = KEYS[pacers + at], caller = KEYS[pacers + count + at], carried = tonumber(ARGV[12 + at]), first = first}
  paces[at], paces[count + at] = asks[at].pace, asks[at].caller
end
for at = 1, size * count do digests[at] = hexes:sub(at * 32 - 31, at * 32) end

-- A digest as the place buckets know it.
local function raw(at) return raws:sub(at * 16 - 15, at * 16) end

local full_at = paces_of(paces)

-- Why nobody may enter now, or nil.
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
  if not over and not sale.frozen and sale.wall >= sale.opens then
    freeze_line(sale, KEYS[2])
    sale.frozen = true
  end
  state = redis.call('HMGET', KEYS[2], 'entered', 'block', 'listed')
  used = values_of('HMGET', KEYS[4], digests)
  used_in_sale = sale_limit > 0 and values_of('HMGET', KEYS[5], digests)
  unpaid = values_of('HMGET', KEYS[8], digests)
  listed = state[3] == '1' and values_of('SMISMEMBER', KEYS[6], digests)
end
local entered, block = state and tonumber(state[1]), state and tonumber(state[2])
local given = 0

-- What stands behind an identity's digests, and what the lists say of it.
local function known(ask)
  local found = {lost = {}, returns = 0, eligible = not listed, packed = {}}
  for i = 1, size do
    local at = ask.first + i
    local hex = digests[at]
    found.used_up = found.used_up or tonumber(used[hex] or 0) >= limit
    found.used_up = found.used_up or used_in_sale and tonumber(used_in_sale[hex] or 0) >= sale_limit
    found.unpaid = found.unpaid or tonumber(unpaid[hex] or 0) >= UNPAID_MAX
    found.eligible = found.eligible or listed[hex] == 1
    local packed = redis.call('HGET', KEYS[buckets + at], raw(at))
    found.packed[i] = packed
    if packed then
      local place, mine = unpack_place(packed), found.mine
      local here = place.line == line
      place.left = redis.call('GETBIT', KEYS[outs + place.line], place.index) == 1
      local voided = here and place.left and redis.call('SISMEMBER', KEYS[3], place.index) == 1
      -- Counted over all lines: going to and fro between two must not eat up their indexes.
      if place.left then found.returns = math.max(found.returns, place.returns + 1) end
      if not here then
        found.elsewhere = found.elsewhere or not place.left
      elseif voided or (place.left and sale.frozen) then
        -- Gone for good, and nobody's: only a place still present is theirs.
      elseif not mine or place.index < mine.index then
        found.lost[#found.lost + 1] = mine and mine.index
        found.mine = place
      elseif place.index > mine.index then
        found.lost[#found.lost + 1] = place.index
      end
    end
  end
  return found
end

local function give_index(ask, index, returns)
  if ask.carried then
    redis.call('SETBIT', KEYS[7], index, 0)
    redis.call('SETBIT', KEYS[9], index, 1)
    -- After a loss of the gate only the books knew that it had been left.
    redis.call('SETBIT', KEYS[outs + line], index, 0)
  else
    entered, given = index, given + 1
  end
  return {index = index, line = line, returns = returns}
end

local function enter(ask)
  local caller_after = pace_after(full_at[ask.caller], caller_gap, caller_burst)
  local after = caller_after and pace_after(full_at[ask.pace], identity_gap, identity_burst)
  if not after then return {'too_many_requests'} end
  full_at[ask.caller], full_at[ask.pace] = caller_after, after
  if closed_for and not over then return {closed_for} end
  local found = known(ask)
  local mine, anew = found.mine, not found.mine
  -- Whoever stands here gets back what they have, on any device, for an order may hang on it; but nothing new, and no two joined.
  local as_it_is = not anew and not mine.left and #found.lost == 0 and not found.elsewhere
  if over and not as_it_is then return {closed_for} end
  local index = ask.carried or entered + 1
  if anew and found.returns > RETURNS_MAX then return {'place_left'} end
  if found.elsewhere then return {'place_elsewhere'} end
  if anew and index > most then return {'line_full'} end
  -- An old place is taken over at its old number until the draw; nobody else enters a line that carries an order over.
  local eligible = found.eligible and not (anew and (ask.carried == 0 or (ask.carried and sale.frozen)))
  if not eligible then return {'not_eligible'} end
  if found.used_up and not as_it_is then return {'limit_reached'} end
  if found.unpaid and not as_it_is then return {'unpaid_twice'} end
  -- Indexes are given only from blocks that the books know of, so that none is given twice after a loss of the gate.
  if anew and index > block then return {'no_room'} end

  if anew then
    mine = give_index(ask, index, found.returns)
    -- Once in a sale, and most people never call again: nothing to keep of their pace.
    full_at[ask.pace] = 0
  elseif mine.left then
    -- Coming back before the draw: the same index, as if they had never left.
    redis.call('SETBIT', KEYS[outs + line], mine.index, 0)
    redis.call('HINCRBY', KEYS[2], 'left', -1)
  end
  for _, later in ipairs(found.lost) do
    redis.call('SETBIT', KEYS[outs + line], later, 1)
    redis.call('SADD', KEYS[3], later)
    redis.call('ZREM', KEYS[10], later)
  end
  local packed = pack_place(mine)
  for i = 1, size do
    local at = ask.first + i
    if found.packed[i] ~= packed then redis.call('HSET', KEYS[buckets + at], raw(at), packed) end
  end
  return {'entered', mine.index, anew and 1 or 0, unpack(found.lost)}
end

local answers = {}
for i, ask in ipairs(asks) do answers[i] = enter(ask) end
if given > 0 then redis.call('HSET', KEYS[2], 'entered', string.format('%.0f', entered)) end
keep_paces(full_at)
return answers
