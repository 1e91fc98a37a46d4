-- Stands before every script. KEYS[1] is always the sale's hash, ARGV[1] the run id of the server that the caller is connected to.
-- Times are ms. The line's clock is Redis TIME less all time after the opening in which nobody could reserve (DESIGN 7): the sale
-- was paused, or stood still, because nobody has seen gate and books answer together (beat.lua).

-- A script happens at one moment, so the clock is read once.
local wall_ms
local function wall_clock()
  if not wall_ms then
    local time = redis.call('TIME')
    wall_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return wall_ms
end

-- The sale's state, or nil when this server does not know the sale: fresh, restored or replaced servers refuse all work.
local function read_sale()
  local field = redis.call('HMGET', KEYS[1], 'run', 'state', 'lobby', 'opens', 'closes', 'claim', 'hold', 'paused_at', 'paused_ms', 'frozen', 'runs_until')
  if not field[1] or field[1] ~= ARGV[1] then return nil end
  local sale = {state = field[2], lobby = tonumber(field[3]), opens = tonumber(field[4]), closes = tonumber(field[5]),
                claim = tonumber(field[6]), hold = tonumber(field[7]), frozen = field[10] == '1'}
  sale.wall = wall_clock()
  local paused_at = tonumber(field[8])
  local upto = sale.wall
  if paused_at > 0 then upto = math.min(upto, math.max(paused_at, sale.opens)) end
  local runs_until = tonumber(field[11] or 0)
  sale.still = runs_until > 0 and runs_until < sale.wall
  if sale.still then upto = math.min(upto, runs_until) end
  sale.now = upto - tonumber(field[9])
  return sale
end

-- Why nothing may be reserved now, in the order of rules/outcomes, or nil; a line may open later than its sale.
local function outside_window(sale, line_opens)
  if sale.state == 'called_off' then return 'called_off' end
  if sale.state == 'closed' or sale.now >= sale.closes then return 'closed' end
  if sale.state == 'paused' then return 'paused' end
  if sale.now < math.max(sale.opens, tonumber(line_opens) or 0) then return 'not_open' end
  return nil
end

-- Ends a line's cohort with what had entered at the opening: whoever comes first after it calls this before it gives an index.
-- An opening that was moved since begins anew; a line that is drawn stays as it is.
local function freeze_line(sale, key)
  local line = redis.call('HMGET', key, 'seed', 'frozen_for', 'entered')
  local opens = string.format('%.0f', sale.opens)
  if not line[1] and line[2] ~= opens then redis.call('HSET', key, 'cohort', line[3], 'frozen_for', opens) end
end

-- How many bits first..last are set. Redis 6.2 counts whole bytes only, so the edges are read bit by bit.
local function count_bits(key, first, last)
  local count = 0
  while first <= last and first % 8 ~= 0 do
    count = count + redis.call('GETBIT', key, first)
    first = first + 1
  end
  while last >= first and last % 8 ~= 7 do
    count = count + redis.call('GETBIT', key, last)
    last = last - 1
  end
  if first <= last then count = count + redis.call('BITCOUNT', key, first / 8, (last - 7) / 8) end
  return count
end

-- When a called number's claim window ends; those who asked for it before have twice the time. A wave is
-- "last number:time called"; a number belongs to the first wave that reaches it.
local function claim_ends(sale, waves, number, patient)
  local wave = redis.call('ZRANGEBYSCORE', waves, number, '+inf', 'LIMIT', 0, 1)[1]
  if not wave then return nil end
  return tonumber(string.match(wave, ':(%d+)$')) + sale.claim * (patient and 2 or 1)
end

-- Whether one more call would be faster than one every `gap` ms with `burst` at once; counts it when it is not. gap 0: never.
-- A token bucket kept as the time at which it will be full again (GCRA).
local function too_fast(key, gap, burst)
  if gap == 0 then return false end
  local now = wall_clock()
  local full_at = math.max(tonumber(redis.call('GET', key) or 0), now) + gap
  if full_at - now > gap * burst then return true end
  redis.call('SET', key, string.format('%.3f', full_at), 'PX', math.ceil(full_at - now) + 1)
  return false
end

-- Whether somebody has let so many holds expire unpaid in this campaign that there is no further one for them.
local UNPAID_MAX = 2
local function unpaid_too_often(key, digest)
  return tonumber(redis.call('HGET', key, digest) or 0) >= UNPAID_MAX
end

-- A place as it stands behind a digest: index, line, whether its owner left it, how often they came back after the freeze.
local function unpack_place(packed)
  local value = tonumber(packed)
  local line = value % 256
  value = (value - line) / 256
  local left = value % 2
  value = (value - left) / 2
  local returns = value % 4
  return {line = line, left = left == 1, returns = returns, index = (value - returns) / 4}
end

local function pack_place(place)
  return string.format('%.0f', ((place.index * 4 + place.returns) * 2 + (place.left and 1 or 0)) * 256 + place.line)
end
