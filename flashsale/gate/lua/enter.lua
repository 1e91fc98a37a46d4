-- Gives an identity its place in a line: the one it has, or the next index.
-- Whoever enters first after the opening ends the line's cohort before, so that it holds those who were there, even if
-- nobody has looked for an hour.
-- Guarantee: one place per identity and sale, whatever is sent at once or again; a refusal changes nothing.
-- KEYS: 1 sale  2 line  3 out  4 voided  5 used in campaign  6 used in sale  7 listed  8 spent
--   9 pace of the identity  10 pace of the caller  11 unpaid  12.. the place bucket of each digest
-- ARGV: 1 run id  2 line number  3 most entries  4 campaign limit  5 sale limit (0: none)
--   6 the old number that a carried line takes over (0: none shown, empty: this line carries none)
--   7 ms between an identity's calls  8 how many at once  9 ms between the caller's calls (0: any)  10 how many at once
--   11.. digest raw, digest hex in turn
-- Answers: {'entered', index, 1 if new, voided index ...} or {word} of too_many_requests, not_ready, called_off, closed,
--   not_open, place_left (came back too often), place_elsewhere, line_full, not_eligible, limit_reached, unpaid_twice
local RETURNS_MAX = 3
if too_fast(KEYS[9], tonumber(ARGV[7]), tonumber(ARGV[8])) or too_fast(KEYS[10], tonumber(ARGV[9]), tonumber(ARGV[10])) then
  return {'too_many_requests'}
end
local sale = read_sale()
if not sale then return {'not_ready'} end
if sale.state == 'called_off' then return {'called_off'} end
if sale.state == 'closed' or sale.now >= sale.closes then return {'closed'} end
if sale.now < sale.lobby then return {'not_open'} end

if not sale.frozen and sale.wall >= sale.opens then
  freeze_line(sale, KEYS[2])
  sale.frozen = true
end

local line = tonumber(ARGV[2])
local digests = (#ARGV - 10) / 2
assert(#KEYS == 11 + digests, 'one bucket a digest')
local state = redis.call('HMGET', KEYS[2], 'entered', 'block', 'listed')
local carried = ARGV[6] ~= '' and tonumber(ARGV[6])

local mine, elsewhere, used_up, unpaid
local lost, returns, eligible = {}, 0, state[3] ~= '1'
for i = 1, digests do
  local raw, hex = ARGV[9 + 2 * i], ARGV[10 + 2 * i]
  used_up = used_up or tonumber(redis.call('HGET', KEYS[5], hex) or 0) >= tonumber(ARGV[4])
  used_up = used_up or ARGV[5] ~= '0' and tonumber(redis.call('HGET', KEYS[6], hex) or 0) >= tonumber(ARGV[5])
  unpaid = unpaid or unpaid_too_often(KEYS[11], hex)
  eligible = eligible or redis.call('SISMEMBER', KEYS[7], hex) == 1
  local packed = redis.call('HGET', KEYS[11 + i], raw)
  if packed then
    local place = unpack_place(packed)
    -- Counted over all lines: going to and fro between two must not eat up their indexes.
    if place.left then returns = math.max(returns, place.returns + 1) end
    if place.line ~= line then
      elsewhere = elsewhere or not place.left
    elseif place.left and sale.frozen then
      -- Given up for good: only a place still present is theirs.
    elseif not mine or place.index < mine.index then
      lost[#lost + 1] = mine and mine.index
      mine = place
    elseif place.index > mine.index then
      lost[#lost + 1] = place.index
    end
  end
end
local index = carried or tonumber(state[1]) + 1
local anew = not mine
if anew and returns > RETURNS_MAX then return {'place_left'} end
if elsewhere then return {'place_elsewhere'} end
if anew and index > tonumber(ARGV[3]) then return {'line_full'} end
-- An old place is taken over at its old number until the draw; nobody else enters a line that carries an order over.
if anew and (carried == 0 or (carried and sale.frozen)) then eligible = false end
if not eligible then return {'not_eligible'} end
if used_up then return {'limit_reached'} end
if unpaid then return {'unpaid_twice'} end
-- Indexes are given only from blocks that the books know of, so that none is given twice after a loss of the gate.
if anew and index > tonumber(state[2]) then return {'not_ready'} end

if anew then
  if carried then
    redis.call('SETBIT', KEYS[8], index, 0)
  else
    redis.call('HSET', KEYS[2], 'entered', string.format('%.0f', index))
  end
  mine = {index = index, line = line, left = false, returns = returns}
elseif mine.left then
  -- Coming back before the draw: the same index, as if they had never left.
  redis.call('SETBIT', KEYS[3], mine.index, 0)
  redis.call('HINCRBY', KEYS[2], 'left', -1)
  mine.left = false
end
for _, later in ipairs(lost) do
  redis.call('SETBIT', KEYS[3], later, 1)
  redis.call('SADD', KEYS[4], later)
end
for i = 1, digests do redis.call('HSET', KEYS[11 + i], ARGV[9 + 2 * i], pack_place(mine)) end
return {'entered', mine.index, anew and 1 or 0, unpack(lost)}
