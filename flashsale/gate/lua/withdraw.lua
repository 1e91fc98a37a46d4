-- Takes unclaimed units out of the offer of a line whose units roll over. The units that open claims may still take stay.
-- Guarantee: units that were withdrawn and have not arrived are answered again, until units_arrived.lua; nothing more is withdrawn when
--   people were called since the claims were counted.
-- KEYS: 1 sale  2 line  3 moving  4.. the free units of each offer
-- ARGV: 1 run id  2 how many units stay  3 the last number called, when the claims were counted
-- Answers: {'looked', unit, version ...} or {'not_ready'}
if not read_sale() then return {'not_ready'} end
local free = 0
for i = 4, #KEYS do free = free + redis.call('ZCARD', KEYS[i]) end
local spare = redis.call('HGET', KEYS[2], 'called') == ARGV[3] and free - tonumber(ARGV[2]) or 0
if spare > 0 then redis.call('HINCRBY', KEYS[2], 'removed', 1) end
for i = 4, #KEYS do
  local popped = spare > 0 and redis.call('ZPOPMIN', KEYS[i], math.min(spare, 500)) or {}
  for j = 1, #popped, 2 do redis.call('ZADD', KEYS[3], popped[j + 1], popped[j]) end
  spare = spare - #popped / 2
end
local answer = {'looked'}
for _, value in ipairs(redis.call('ZRANGE', KEYS[3], 0, 999, 'WITHSCORES')) do answer[#answer + 1] = value end
return answer
