-- Gives a place twice the time to claim, because its owner tried to reserve in time and a web process could not reach this server.
-- Guarantee: only a place whose claim window was open when its owner tried, and at most twice the window; safe to repeat.
-- KEYS: 1 sale  2 line  3 spent  4 waves  5 extra time
-- ARGV: 1 run id  2 index  3 number  4 seed  5 ms since the try
-- Answers: {word} of granted, not_ready, place_spent, not_called, lapsed
local sale = read_sale()
local line = redis.call('HMGET', KEYS[2], 'seed', 'called')
if not sale or line[1] ~= ARGV[4] then return {'not_ready'} end
local number = tonumber(ARGV[3])
if redis.call('GETBIT', KEYS[3], number) == 1 then return {'place_spent'} end
if number > tonumber(line[2]) then return {'not_called'} end
if redis.call('ZSCORE', KEYS[5], ARGV[2]) then return {'granted'} end
if sale.now - tonumber(ARGV[5]) >= claim_ends(sale, KEYS[4], number) then return {'lapsed'} end
redis.call('ZADD', KEYS[5], number, ARGV[2])
return {'granted'}
