-- The state of a place. Restores a place that the gate has lost, because the token alone proves the place.
--
-- How this works: after a loss of the gate, the load (gate/load.py) leaves two kinds of places to be decided when their token comes:
--
--     the place                           loaded as              at its first look (bit `seen` is 0)
--     index in the gap: perhaps given     out                    `seen` becomes 1, `out` 0, and `spent` 0 where it is drawn
--     old number of a carried line        spent                  `seen` becomes 1, `spent` 0 (the index is the number)
--     digests not in the place buckets    the person is unknown  the digests are written
--
-- Where the sale commits to its entries, an index of the gap that was not seen before the freeze stays out: the tree of the entries says
-- that it was never given. Its owner enters again, behind the cohort.
--
-- A later look finds `seen` = 1 and changes nothing: a place that was left after its first look stays out.
-- Then the digests show whether the person has another place. In a line that was lost, or that carries an order over:
--
--     in this line, another index         the earlier index counts, whichever token comes first; the later one is voided
--     in another line                     the place whose token was seen first counts; this one is voided
--     one that is out                     it does not count
--     any, but this number is spent       this place is not voided, because its order stays
--
-- KEYS: 1 sale  2 line  3 voided  4 spent  5 waves  6 extra time  7 seen  8 pace of the place
--   9.. out of each of the sale's lines, by line id; then the place bucket of each digest
-- ARGV: 1 run id  2 line id  3 index  4 number (0 while not drawn)  5 seed (empty while not drawn)
--   6 ms between a place's looks  7 how many at once  8 "1": a code proved the digests, "0": a partner says so  9.. digests, raw
-- Answers: {'looked', place state, line's clock, end of the claim window or 0, called} or {word} of too_many_requests, not_ready
local after = pace_after(tonumber(redis.call('GET', KEYS[8]) or 0), tonumber(ARGV[6]), tonumber(ARGV[7]))
if not after then return {'too_many_requests'} end
keep_paces({[KEYS[8]] = after})
local sale = read_sale()
if not sale then return {'not_ready'} end
local index, number = tonumber(ARGV[3]), tonumber(ARGV[4])
local line = redis.call('HMGET', KEYS[2], 'seed', 'called', 'lost', 'carried', 'cohort')
if (line[1] or '') ~= ARGV[5] then return {'not_ready'} end
local called = tonumber(line[2])

local place, outs, buckets = {index = index, line = tonumber(ARGV[2]), returns = 0}, 8, #KEYS - #ARGV
local by_code = ARGV[8] == '1'
local out_here = KEYS[outs + place.line]
if redis.call('SISMEMBER', KEYS[3], index) == 1 then return {'looked', 'voided', sale.now, 0, called} end
local out = redis.call('GETBIT', out_here, index) == 1
if line[4] == '1' then
  -- The index is the number, drawn or not.
  if redis.call('SETBIT', KEYS[7], index, 1) == 0 then redis.call('SETBIT', KEYS[4], index, 0) end
elseif out and sale.commits and sale.frozen and index <= tonumber(line[5] or 0) then
  return {'looked', 'left', sale.now, 0, called}
elseif out and index <= tonumber(line[3] or 0) and redis.call('GETBIT', KEYS[7], index) == 0 then
  -- While the line is being drawn, the numbers of places that are out are being marked as spent.
  if is_being_drawn(sale, KEYS[2], number) then return {'not_ready'} end
  out = false
  redis.call('SETBIT', KEYS[7], index, 1)
  redis.call('SETBIT', out_here, index, 0)
  if number > 0 then redis.call('SETBIT', KEYS[4], number, 0) end
  redis.call('HINCRBY', KEYS[2], 'gaps', -1)
end
if out then return {'looked', 'left', sale.now, 0, called} end
local spent = number > 0 and redis.call('GETBIT', KEYS[4], number) == 1
-- Without a loss only enter.lua joins places: a person who has left a place still has its token, and the digests may belong to another
-- person's place by now.
local was_lost = line[3] or line[4] == '1'
local known = {}
for i = 9, #ARGV do
  known[i] = packed_place_of(KEYS[buckets + i], ARGV[i], by_code)
  local other = known[i] and unpack_place(known[i])
  local here = other and other.line == place.line
  if other and not (here and other.index == index) then
    if redis.call('GETBIT', KEYS[outs + other.line], other.index) == 1 then
      known[i] = false
    elseif was_lost and not spent and (not here or other.index < index) then
      -- The other place counts: it is earlier, or its token was seen before this one.
      redis.call('SETBIT', out_here, index, 1)
      redis.call('SADD', KEYS[3], index)
      redis.call('ZREM', KEYS[6], index)
      if number > 0 then redis.call('SETBIT', KEYS[4], number, 1) end
      return {'looked', 'voided', sale.now, 0, called}
    end
  end
end
for i = 9, #ARGV do
  local other = known[i] and unpack_place(known[i])
  if was_lost and other and other.line == place.line and other.index > index then
    redis.call('SETBIT', out_here, other.index, 1)
    redis.call('SADD', KEYS[3], other.index)
    redis.call('ZREM', KEYS[6], other.index)
    known[i] = false
  end
  if not known[i] then keep_place(KEYS[buckets + i], ARGV[i], pack_place(place, by_code)) end
end

if number == 0 then return {'looked', 'waiting', sale.now, 0, called} end
if spent then return {'looked', 'spent', sale.now, 0, called} end
if number > called then return {'looked', 'waiting', sale.now, 0, called} end
local ends = claim_ends(sale, KEYS[5], number, redis.call('ZSCORE', KEYS[6], index))
if sale.now >= ends then return {'looked', 'lapsed', sale.now, ends, called} end
return {'looked', 'called', sale.now, ends, called}
