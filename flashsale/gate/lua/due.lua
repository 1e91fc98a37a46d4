-- Reservations whose deadline has passed on the line's clock, the oldest first.
-- KEYS: 1 sale  2 due
-- ARGV: 1 run id  2 at most so many
-- Answers: {'looked', line's clock, reservation ...} or {'not_ready'}
local sale = read_sale()
if not sale then return {'not_ready'} end
return {'looked', sale.now, unpack(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', sale.now, 'LIMIT', 0, ARGV[2]))}
