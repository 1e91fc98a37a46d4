-- Gives a place up. Before the draw coming back restores it; after it, coming back means a new place at the end.
-- Guarantee: safe to repeat; a spent place stays spent.
-- KEYS: 1 sale  2 line  3 out  4 spent  5 seen  6 patient  7.. the place bucket of each digest
-- ARGV: 1 run id  2 line number  3 index  4 number (0 while not drawn)  5 seed (empty while not drawn)  6.. digests, raw
-- Answers: {word} of left, not_ready, place_spent
local sale = read_sale()
if not sale then return {'not_ready'} end
local line, index, number = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local seed = redis.call('HGET', KEYS[2], 'seed') or ''
-- A caller who drew with another seed, or not yet although the line is frozen, would mark the wrong number.
if seed ~= ARGV[5] or (sale.frozen and number == 0) then return {'not_ready'} end
local out = redis.call('GETBIT', KEYS[3], index) == 1
if not out and number > 0 and redis.call('GETBIT', KEYS[4], number) == 1 then return {'place_spent'} end

-- Seen even if it is out already: an index that was lost comes back at its first look, but not one that was left before.
redis.call('SETBIT', KEYS[5], index, 1)
-- Its extra time is somebody else's to ask for.
redis.call('ZREM', KEYS[6], index)
if not out then
  redis.call('SETBIT', KEYS[3], index, 1)
  redis.call('HINCRBY', KEYS[2], 'left', 1)
  if number > 0 then redis.call('SETBIT', KEYS[4], number, 1) end
end
-- Even if it is out already: other lines go by the digests alone, and not every token of a place has all of them.
for i = 6, #ARGV do
  local packed = redis.call('HGET', KEYS[i + 1], ARGV[i])
  if packed then
    local place = unpack_place(packed)
    if place.line == line and place.index == index then
      place.left = true
      redis.call('HSET', KEYS[i + 1], ARGV[i], pack_place(place))
    end
  end
end
return {'left'}
