-- Gives a place twice the time to claim, if its number is not called yet. The count of such places has a bound, because each one needs
-- memory. What they may cost other people has a bound of its own (rules/calling.py, kept_claims).
-- Guarantee: safe to repeat.
-- KEYS: 1 sale  2 line  3 extra time  4 out  5 voided
-- ARGV: 1 run id  2 index  3 number (0 while not drawn)  4 seed (empty while not drawn)  5 most places with extra time
-- Answers: {word} of granted, not_ready, place_voided, place_left, already_called, no_more_time
local sale = read_sale()
local line = redis.call('HMGET', KEYS[2], 'seed', 'called', 'late')
if not sale or (line[1] or '') ~= ARGV[4] or is_being_drawn(sale, KEYS[2], tonumber(ARGV[3])) then return {'not_ready'} end
if redis.call('SISMEMBER', KEYS[5], ARGV[2]) == 1 then return {'place_voided'} end
if redis.call('GETBIT', KEYS[4], ARGV[2]) == 1 then return {'place_left'} end
if redis.call('ZSCORE', KEYS[3], ARGV[2]) then return {'granted'} end
if tonumber(ARGV[3]) > 0 and tonumber(ARGV[3]) <= tonumber(line[2]) then return {'already_called'} end
-- Places whose second window is over make room. Places that tried in time are in the same set (tried_in_time.lua).
redis.call('ZREMRANGEBYSCORE', KEYS[3], 1, line[3] or 0)
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[5]) then return {'no_more_time'} end
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[2])
return {'granted'}
