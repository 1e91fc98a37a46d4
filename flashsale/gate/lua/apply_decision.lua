-- Writes what the books have decided about a sale: its state, times and pauses, its card, and the opening of each line.
-- Guarantee: all of it or nothing, and an older decision never replaces a newer one. A clock that the decision does not touch keeps
--   its lease, which may be longer by now than the decision says. A clock that was stopped or moved gets the lease of the decision,
--   because the lease and the time that the clock stood belong together.
--   The revision that is known already writes only the card and the openings again, which may have been lost or changed.
-- KEYS: 1 sale  2 card  3.. lines
-- ARGV: 1 run id  2 revision  3 card, sealed  4.. when each line opens (0: with the sale), then field, value in turn
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
local function clock() return redis.call('HMGET', KEYS[1], 'revision', 'paused_ms', 'runs_from', 'runs_until') end
local known = clock()
local lines = #KEYS - 2
if tonumber(known[1]) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'revision', ARGV[2], unpack(ARGV, 4 + lines))
  local decided = clock()
  if tonumber(decided[2]) == tonumber(known[2]) and tonumber(decided[3]) < tonumber(decided[4]) then extend_clock(known[3], known[4]) end
end
if tonumber(known[1]) <= tonumber(ARGV[2]) then
  redis.call('SET', KEYS[2], ARGV[3])
  for i = 1, lines do redis.call('HSET', KEYS[2 + i], 'opens', ARGV[3 + i]) end
end
return {'looked'}
