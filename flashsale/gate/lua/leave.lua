-- Gives a place up. Before the draw coming back restores it; after it, coming back means a new place at the end.
-- Guarantee: safe to repeat; a spent place stays spent.
-- KEYS: 1 sale  2 line  3 out  4 spent  5 seen  6 patient
-- ARGV: 1 run id  2 index  3 number (0 while not drawn)  4 seed (empty while not drawn)
-- Answers: {word} of left, not_ready, place_spent
local sale = read_sale()
if not sale then return {'not_ready'} end
local index, number = tonumber(ARGV[2]), tonumber(ARGV[3])
local seed = redis.call('HGET', KEYS[2], 'seed') or ''
-- A caller who drew with another seed, or not yet although the line is frozen, would mark the wrong number.
if seed ~= ARGV[4] or (sale.frozen and number == 0) then return {'not_ready'} end
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
return {'left'}
