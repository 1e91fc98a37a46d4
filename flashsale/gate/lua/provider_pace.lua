-- Gives a call to a payment provider its turn: calls are at least an interval apart, in the order in which they ask.
-- Guarantee: a turn that is not used is lost, so the provider never gets more calls than its pace.
-- KEYS: 1 the pace of an account (of the account, not of a sale)
-- ARGV: 1 run id  2 interval, microseconds
-- Answers: {microseconds until the turn}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local after = turn + ARGV[2]
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return {string.format('%.0f', turn - now)}
