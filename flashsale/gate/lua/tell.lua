-- What the books have decided about a sale: its state, times, pauses, its card, and when each line opens by itself.
-- Guarantee: all of it or nothing, and an older decision never replaces a newer one; the clock may never run less long than
--   told before, unless it was told so before the wall clock went back.
-- KEYS: 1 sale  2 card  3.. lines
-- ARGV: 1 run id  2 revision  3 card, JSON  4.. when each line opens (0: with the sale), then field, value in turn
-- Answers: {word} of looked, not_ready
if not read_sale() then return {'not_ready'} end
local known = redis.call('HMGET', KEYS[1], 'revision', 'runs_from', 'runs_until')
if tonumber(known[1]) < tonumber(ARGV[2]) then
  local lines = #KEYS - 2
  redis.call('HSET', KEYS[1], 'revision', ARGV[2], unpack(ARGV, 4 + lines))
  if tonumber(known[2] or 0) <= wall_clock() + SLACK_MS then lease(known[2], known[3]) end
  redis.call('SET', KEYS[2], ARGV[3])
  for i = 1, lines do redis.call('HSET', KEYS[2 + i], 'opens', ARGV[3 + i]) end
end
return {'looked'}
