-- Which places of a line are out and which tokens were seen: the copy that the books keep of its crowd.
-- KEYS: 1 sale  2 out  3 seen
-- ARGV: 1 run id
-- Answers: {'looked', out, seen}, both bitmaps by index, or {'not_ready'}
if not read_sale() then return {'not_ready'} end
return {'looked', redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[3]) or ''}
