-- Takes the sales that a process must look at now, those that have waited longest first. Each goes to one process, which has a moment
-- to look at it and to say when it is due again (look_again.lua). When the process dies, the sale is due again after that moment.
-- One-time codes that are to be sent are taken in the same way (code_queue.py).
-- KEYS: 1 look at, or a queue of codes (of the installation, not of a sale)
-- ARGV: 1 run id  2 at most so many  3 ms for the look  4 ms that no look lies further ahead
-- Answers: {'looked', sale code, score ...}. The score stands for this look.
local now, taken = wall_clock(), {'looked'}
local function take(from, upto)
  for _, code in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], from, upto, 'LIMIT', 0, ARGV[2])) do
    if #taken > 2 * ARGV[2] then return end
    local score = string.format('%.0f', now + ARGV[3])
    redis.call('ZADD', KEYS[1], score, code)
    taken[#taken + 1], taken[#taken + 2] = code, score
  end
end
take('-inf', string.format('%.0f', now))
-- A look that lies further ahead was planned before the wall clock went back.
take(string.format('(%.0f', now + ARGV[4]), '+inf')
return taken
