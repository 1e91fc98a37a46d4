-- Says whether a call to a payment provider for which no buyer waits may be made now. Buyers' calls (provider_pace.lua) come first.
-- Guarantee: buyers and background together keep the pace, and the background gets half of it even while buyers queue.
-- KEYS: 1 the pace of an account  2 the background's part of it (of the account, not of a sale)
-- ARGV: 1 run id  2 interval, microseconds  3 how far calls may run ahead of the pace, microseconds
-- Answers: {microseconds to wait before asking again; 0: the call may be made now}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local buyers, own = tonumber(redis.call('GET', KEYS[1]) or 0), tonumber(redis.call('GET', KEYS[2]) or 0)
local wait = math.min(buyers, own) - now - ARGV[3]
if wait > 0 then return {string.format('%.0f', wait)} end
local function set(key, at)
  redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000) + 1000)
end
set(KEYS[1], math.max(now, buyers) + ARGV[2])
set(KEYS[2], math.max(now, own) + 2 * ARGV[2])
return {'0'}
