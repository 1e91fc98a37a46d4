-- Where a place stands. A place whose digests the gate has lost is put back: the token is the place (DESIGN 7).
-- KEYS: 1 sale  2 line  3 out  4 voided  5 spent  6 waves  7 patient  8.. the place bucket of each digest
-- ARGV: 1 run id  2 line number  3 index  4 number (0 while not drawn)  5 seed (empty while not drawn)  6.. digests, raw
-- Answers: {'looked', place state, line's clock, end of the claim window or 0, called} or {'not_ready'}
local sale = read_sale()
if not sale then return {'not_ready'} end
local index, number = tonumber(ARGV[3]), tonumber(ARGV[4])
local line = redis.call('HMGET', KEYS[2], 'seed', 'called')
if (line[1] or '') ~= ARGV[5] then return {'not_ready'} end
local called = tonumber(line[2])

if redis.call('SISMEMBER', KEYS[4], index) == 1 then return {'looked', 'voided', sale.now, 0, called} end
if redis.call('GETBIT', KEYS[3], index) == 1 then return {'looked', 'left', sale.now, 0, called} end
local place = pack_place({index = index, line = tonumber(ARGV[2]), left = false, returns = 0})
for i = 6, #ARGV do redis.call('HSETNX', KEYS[i + 2], ARGV[i], place) end

if number == 0 then return {'looked', 'waiting', sale.now, 0, called} end
if redis.call('GETBIT', KEYS[5], number) == 1 then return {'looked', 'spent', sale.now, 0, called} end
if number > called then return {'looked', 'waiting', sale.now, 0, called} end
local ends = claim_ends(sale, KEYS[6], number, redis.call('ZSCORE', KEYS[7], index))
if sale.now >= ends then return {'looked', 'lapsed', sale.now, ends, called} end
return {'looked', 'called', sale.now, ends, called}
