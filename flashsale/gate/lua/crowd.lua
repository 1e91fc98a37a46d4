-- Which places of a line are out, which tokens were seen, and how many places channels have taken: the copy that the books keep of
-- its crowd.
-- KEYS: 1 sale  2 out  3 seen  4 line
-- ARGV: 1 run id  2.. fields of the line that count the new places of a channel
-- Answers: {'looked', out, seen, count ...}, out and seen as bitmaps by index, or {'not_ready'}
if not read_sale() then return {'not_ready'} end
local answer = {'looked', redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[3]) or ''}
for i = 2, #ARGV do answer[i + 2] = tonumber(redis.call('HGET', KEYS[4], ARGV[i]) or 0) end
return answer
