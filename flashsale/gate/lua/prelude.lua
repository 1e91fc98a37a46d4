-- Stands before every script. KEYS[1] is always the sale's hash, ARGV[1] the run id of the server that the caller is connected to.
-- Times are ms. The line's clock is Redis TIME less all time after the opening in which nobody could reserve: the sale
-- was paused, or stood still, because nobody has seen gate and books answer together (beat.lua). The same formula: rules/clock.py.

-- The wall clock counts as gone back when it is further than this behind what was noted of it.
local SLACK_MS = 1000

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
  local field = redis.call('HMGET', KEYS[1], 'run', 'state', 'lobby', 'opens', 'closes', 'claim', 'hold', 'paused_ms', 'frozen', 'runs_from', 'runs_until')
  if not field[1] or field[1] ~= ARGV[1] then return nil end
  local sale = {state = field[2], lobby = tonumber(field[3]), opens = tonumber(field[4]), closes = tonumber(field[5]),
                claim = tonumber(field[6]), hold = tonumber(field[7]), frozen = field[9] == '1', runs_until = tonumber(field[11])}
  sale.wall = wall_clock()
  local since = tonumber(field[10])
  sale.still = sale.runs_until > 0 and (sale.runs_until < sale.wall or sale.runs_until == since)
  local upto = math.min(sale.wall, sale.opens)
  if sale.runs_until > 0 then upto = math.max(since, math.min(sale.wall, sale.runs_until)) end
  sale.now = upto - tonumber(field[8])
  return sale
end

-- Lets the line's clock run from then until then, unless it may do so longer already.
local function lend(from, upto)
  local known = redis.call('HMGET', KEYS[1], 'runs_from', 'runs_until')
  local longest = {math.max(tonumber(known[1]), tonumber(from)), math.max(tonumber(known[2]), tonumber(upto))}
  redis.call('HSET', KEYS[1], 'runs_from', string.format('%.0f', longest[1]), 'runs_until', string.format('%.0f', longest[2]))
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

-- When a token bucket will be full again (GCRA) after one more call, nil when that call is too fast: more than one every
-- `gap` ms with `burst` at once. `full_at` is what it was before, gap 0 lets everything through.
local function pace_after(full_at, gap, burst)
  if gap == 0 then return full_at end
  -- Longer to wait than anybody was ever made to: the wall clock has gone back.
  if full_at > wall_clock() + gap * burst + SLACK_MS then full_at = 0 end
  local after = math.max(full_at, wall_clock()) + gap
  if after - wall_clock() <= gap * burst then return after end
end

-- When each of these token buckets is full again, by key.
local function paces_of(keys)
  local full_at = {}
  for i, value in ipairs(redis.call('MGET', unpack(keys))) do full_at[keys[i]] = tonumber(value or 0) end
  return full_at
end

-- Keeps token buckets, by key, for as long as they are not full.
local function keep_paces(paces)
  for key, full_at in pairs(paces) do
    local ms = math.ceil(full_at - wall_clock())
    if ms > 0 then redis.call('SET', key, string.format('%.3f', full_at), 'PX', ms) end
  end
end

-- What one command says of each field or member of a key (HMGET, SMISMEMBER, ZMSCORE), by field; mostly there is no such key.
local function values_of(command, key, fields)
  local values = {}
  if #fields > 0 and redis.call('EXISTS', key) == 1 then
    for i, value in ipairs(redis.call(command, key, unpack(fields))) do values[fields[i]] = value end
  end
  return values
end

-- Which bits of a bitmap are set, by position.
local function bits_of(key, positions)
  local wanted, bits = {}, {}
  for _, position in ipairs(positions) do
    wanted[#wanted + 1], wanted[#wanted + 2], wanted[#wanted + 3] = 'GET', 'u1', position
  end
  for i, bit in ipairs(redis.call('BITFIELD', key, unpack(wanted))) do bits[positions[i]] = bit == 1 end
  return bits
end

-- So many holds that somebody let expire unpaid in a campaign, and there is no further one for them.
local UNPAID_MAX = 2

-- A place as it stands behind a digest: index, line, how often its owner came back. Whether they left it, only its line's bitmap
-- knows: a place may have more digests than the token that left it, or that came back to it.
local function unpack_place(packed)
  local value = tonumber(packed)
  local line = value % 256
  value = (value - line) / 256
  local returns = value % 4
  return {line = line, returns = returns, index = (value - returns) / 4}
end

local function pack_place(place)
  return string.format('%.0f', (place.index * 4 + place.returns) * 256 + place.line)
end
