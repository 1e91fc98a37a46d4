-- Gives a place up. Before the draw, entering again restores it. After the draw, entering again gives a new place at the end.
-- Guarantee: safe to repeat; a spent place stays spent.
-- KEYS: 1 sale  2 line  3 out  4 spent  5 seen  6 extra time
-- ARGV: 1 run id  2 index  3 number (0 while not drawn)  4 seed (empty while not drawn)
-- Answers: {word} of left, not_ready, place_spent
local sale = read_sale()
if not sale then return {'not_ready'} end
local index, number = tonumber(ARGV[2]), tonumber(ARGV[3])
local seed = redis.call('HGET', KEYS[2], 'seed') or ''
-- A caller that has another seed, or has no seed although the line is frozen, would mark the wrong number.
if seed ~= ARGV[4] or is_being_drawn(sale, KEYS[2], number) then return {'not_ready'} end
local out = redis.call('GETBIT', KEYS[3], index) == 1
if not out and number > 0 and redis.call('GETBIT', KEYS[4], number) == 1 then return {'place_spent'} end

-- Marked as seen even if the place is out already. Otherwise the first look would bring a left place back as a lost one.
redis.call('SETBIT', KEYS[5], index, 1)
-- Another place may get its extra time.
redis.call('ZREM', KEYS[6], index)
if not out then
  redis.call('SETBIT', KEYS[3], index, 1)
  redis.call('HINCRBY', KEYS[2], 'left', 1)
  if number > 0 then redis.call('SETBIT', KEYS[4], number, 1) end
end
return {'left'}
