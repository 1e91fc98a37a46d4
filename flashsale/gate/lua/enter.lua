-- Gives an identity its place in a line: the one it has, or the next index.
-- Guarantee: one place per identity and sale, whatever is sent at once or again; a refusal changes nothing.
-- KEYS: 1 sale  2 line  3 out  4 voided  5 used in campaign  6 used in sale  7.. the place bucket of each digest
-- ARGV: 1 run id  2 line number  3 most entries  4 campaign limit  5 sale limit (0: none)  6.. digest raw, digest hex in turn
-- Answers: {'entered', index, 1 if new, voided index or 0} or {word} of
--   not_ready, called_off, closed, not_open, limit_reached, place_elsewhere, place_left (came back too often), line_full
local RETURNS_MAX = 3
local sale = read_sale()
if not sale then return {'not_ready'} end
if sale.state == 'called_off' then return {'called_off'} end
if sale.state == 'closed' or sale.now >= sale.closes then return {'closed'} end
if sale.now < sale.lobby then return {'not_open'} end

local line = tonumber(ARGV[2])
local digests = (#ARGV - 5) / 2
assert(#KEYS == 6 + digests, 'one bucket a digest')

local mine, elsewhere, lost
for i = 1, digests do
  local hex = ARGV[5 + 2 * i]
  if tonumber(redis.call('HGET', KEYS[5], hex) or 0) >= tonumber(ARGV[4]) then return {'limit_reached'} end
  if ARGV[5] ~= '0' and tonumber(redis.call('HGET', KEYS[6], hex) or 0) >= tonumber(ARGV[5]) then return {'limit_reached'} end
  local packed = redis.call('HGET', KEYS[6 + i], ARGV[4 + 2 * i])
  if packed then
    local place = unpack_place(packed)
    if place.line ~= line then
      elsewhere = elsewhere or not place.left
    elseif not mine or place.index < mine.index then
      mine, lost = place, mine
    elseif place.index > mine.index then
      lost = place
    end
  end
end
if elsewhere then return {'place_elsewhere'} end

local fresh = 0
if mine and mine.left and not sale.frozen then
  -- Coming back before the draw: the same index, as if they had never left.
  redis.call('SETBIT', KEYS[3], mine.index, 0)
  redis.call('HINCRBY', KEYS[2], 'left', -1)
  mine.left = false
elseif not mine or mine.left then
  local counts = redis.call('HMGET', KEYS[2], 'entered', 'block')
  local index = tonumber(counts[1]) + 1
  local returns = mine and mine.returns + 1 or 0
  if returns > RETURNS_MAX then return {'place_left'} end
  if index > tonumber(ARGV[3]) then return {'line_full'} end
  -- Indexes are given only from blocks that the books know of, so that none is given twice after a loss of the gate.
  if index > tonumber(counts[2]) then return {'not_ready'} end
  redis.call('HSET', KEYS[2], 'entered', string.format('%.0f', index))
  mine, fresh = {index = index, line = line, left = false, returns = returns}, 1
end
if lost and lost.index ~= mine.index then
  redis.call('SETBIT', KEYS[3], lost.index, 1)
  redis.call('SADD', KEYS[4], lost.index)
else
  lost = nil
end
for i = 1, digests do redis.call('HSET', KEYS[6 + i], ARGV[4 + 2 * i], pack_place(mine)) end
return {'entered', mine.index, fresh, lost and lost.index or 0}
