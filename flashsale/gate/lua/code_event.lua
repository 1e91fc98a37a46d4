-- Applies what happened to a one-time code on its way: a process tries to send it, or calls the sender, its sender takes it later, has
-- taken, delivered or refused it, or its time in the sender is over. A try that follows a call whose end was never told counts as
-- unanswered, because the process died in the call and the sender may have the message.
-- Guarantee: each sender is left once, a code that was delivered stays delivered, and a late report about an earlier sender changes
-- nothing else. Safe to repeat. The address goes as soon as no sender needs it.
-- KEYS: 1 message (of the installation, not of a sale)  2 ids that wait for a report  3.. queues of the senders, in their order
-- ARGV: 1 run id  2 id  3 sender, from 1  4 try, call, later, sent, unanswered, delivered, failed or late
--       5 ms: for later until the next try, otherwise the wait for a report (0: none comes)
-- Answers: {'looked', state, sender now, tries}, or {'not_found'} (the code is not valid any more)
local id, event, senders = ARGV[2], ARGV[4], #KEYS - 2
local from, state = tonumber(ARGV[3]), redis.call('HGET', KEYS[1], 'state')
if not state then return {'not_found'} end
local now_at = tonumber(redis.call('HGET', KEYS[1], 'sender'))

local function become(word, sender)
  state, now_at = word, sender
  redis.call('HSET', KEYS[1], 'state', word, 'sender', sender, 'tries', 0)
  redis.call('HDEL', KEYS[1], 'calling')
end

local function wait_for_report()
  if senders > now_at and ARGV[5] ~= '0' then
    redis.call('ZADD', KEYS[2], string.format('%.0f', wall_clock() + ARGV[5]), id)
  else
    redis.call('ZREM', KEYS[2], id)
  end
end

local function leave_queues()
  for n = 3, #KEYS do redis.call('ZREM', KEYS[n], id) end
end

if state == 'delivered' then return {'looked', state, now_at, 0} end
if event == 'try' and redis.call('HGET', KEYS[1], 'calling') == ARGV[3] then event = 'unanswered' end
if event == 'call' then
  redis.call('HSET', KEYS[1], 'calling', ARGV[3])
elseif event == 'try' then
  return {'looked', state, now_at, redis.call('HINCRBY', KEYS[1], 'tries', 1)}
elseif event == 'later' then
  redis.call('HDEL', KEYS[1], 'calling')
  redis.call('ZADD', KEYS[2 + from], 'XX', string.format('%.0f', wall_clock() + ARGV[5]), id)
elseif event == 'delivered' then
  become('delivered', from)
  leave_queues()
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[1], 'sealed')
elseif from == now_at and state ~= 'failed' then
  if event == 'sent' or event == 'unanswered' then
    become(event, from)
    leave_queues()
    -- The time to wait was set when the code came to this sender. A sender without reports has done its part.
    if ARGV[5] == '0' then redis.call('ZREM', KEYS[2], id) end
    if senders == from or ARGV[5] == '0' then redis.call('HDEL', KEYS[1], 'sealed') end
  elseif senders > from then
    leave_queues()
    become('waiting', from + 1)
    redis.call('ZADD', KEYS[2 + now_at], string.format('%.0f', wall_clock()), id)
    wait_for_report()
  elseif event == 'failed' then
    become('failed', from)
    leave_queues()
    redis.call('ZREM', KEYS[2], id)
    redis.call('HDEL', KEYS[1], 'sealed')
  end
end
return {'looked', state, now_at, 0}
