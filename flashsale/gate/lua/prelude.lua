-- Stands before every script. KEYS[1] is always the sale's hash. ARGV[1] is the run id of the server that the caller is connected to,
-- a space, and the highest mark that the caller has seen of this sale.
--
-- How a script knows that this memory is the one that was loaded
--
--     what happened                                      what differs
--     the server restarted, another server answers       run id
--     this server followed another one and came back     replication id: a server gets a new one when it becomes a master
--     the memory was put back, by whatever means         mark: survey.lua raises it, and a caller has seen a higher one
--
-- The memory may be seconds old then: places, holds and sold units are missing in it. So every script refuses, until the sale is
-- rebuilt from the books (life/rebuild.py).
--
-- Times are ms. The line's clock is Redis TIME minus all time after the opening in which people could not reserve: the sale was paused,
-- or no process had seen gate and books answer together (extend_lease.lua). The same formula is in rules/clock.py, line_clock.
--
-- How places are packed
-- Each digest of a person leads to one number in a place bucket. The number holds three values; the line is in the lowest part:
--
--      index * 1024          returns * 256      line
--     +--------------------+------------------+-----------------+     index    position in the line, from 1
--     |  the upper bits    |  2 bits, 0 to 3  |  8 bits, to 255 |     returns  how often the person came back after leaving
--     +--------------------+------------------+-----------------+     line     the line's id in the sale
--
-- Example: line 2, index 5, no returns = (5 * 4 + 0) * 256 + 2 = 5122. A small number stays small in Redis' compact encoding.
-- The number is negative where only a partner says that the digest is the person's, and positive where a one-time code proved it.
--
-- How a place bucket keeps the two kinds of proof apart
-- A partner's word counts nothing against a code: it does not find the place that a code proved, and it takes no digest from it.
-- The field "digest" belongs to the code as soon as there is one. The partner's place then stands in the field "digest" .. WORD.
--
--      who came            field "digest"        field "digest" .. WORD
--      partner             partner's place       -
--      partner, then code  place of the code     partner's place
--      code, then partner  place of the code     partner's place
--
-- The packed value does not say that the person left. Only the line's bitmap `out` says it, because a place may have more digests
-- than the token with which it was left or taken up again.

-- The wall clock has gone back when it is further than this behind a time that was noted from it.
local SLACK_MS = 1000

-- The clock is read once, because a script happens at one moment.
local wall_ms
local function wall_clock()
  if not wall_ms then
    local time = redis.call('TIME')
    wall_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return wall_ms
end

local NEVER_FOLLOWED = 'master_replid2:' .. string.rep('0', 40)
local run_id, mark_seen = string.match(ARGV[1], '^(%S+) (%d+)$')

-- Whether the memory is the one that was loaded, and no older copy of it.
local function is_current(run, replication, mark)
  if not run or not replication or not mark then return false end
  if run ~= run_id or tonumber(mark) < tonumber(mark_seen) then return false end
  local info = redis.call('INFO', 'replication')
  -- The second id is the one under which the server followed another. A server that never did so has zeros there. It gets a new first id
  -- when its first replica comes, and its memory stays.
  return string.find(info, NEVER_FOLLOWED, 1, true) ~= nil or string.find(info, 'master_replid:' .. replication, 1, true) ~= nil
end

-- The sale's state, or nil when this server does not know the sale, or knows an older state of it.
local function read_sale()
  local field = redis.call('HMGET', KEYS[1], 'run', 'state', 'lobby', 'opens', 'closes', 'claim', 'hold', 'paused_ms', 'frozen', 'runs_from', 'runs_until', 'replication', 'mark', 'freeze_ms', 'commits')
  if not is_current(field[1], field[12], field[13]) then return nil end
  local sale = {state = field[2], lobby = tonumber(field[3]), opens = tonumber(field[4]), closes = tonumber(field[5]),
                claim = tonumber(field[6]), hold = tonumber(field[7]), frozen = field[9] == '1', runs_until = tonumber(field[11]),
                commits = field[15] == '1'}
  sale.freezes = sale.opens - tonumber(field[14] or 0)
  sale.wall = wall_clock()
  local since = tonumber(field[10])
  sale.still = sale.runs_until > 0 and (sale.runs_until < sale.wall or sale.runs_until == since)
  local upto = math.min(sale.wall, sale.opens)
  if sale.runs_until > 0 then upto = math.max(since, math.min(sale.wall, sale.runs_until)) end
  sale.now = upto - tonumber(field[8])
  return sale
end

-- Lets the line's clock run from `from` to `upto`, unless it may run longer already.
local function extend_clock(from, upto)
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

-- Fixes a line's cohort: all who had entered at the freeze. The first script after the freeze calls this before it gives an index.
-- If the opening was moved since, the cohort is fixed anew; a line that is drawn, or has committed to its entries, stays as it is.
local function freeze_line(sale, key)
  local line = redis.call('HMGET', key, 'seed', 'frozen_for', 'entered', 'root')
  local opens = string.format('%.0f', sale.opens)
  if not line[1] and not line[4] and line[2] ~= opens then redis.call('HSET', key, 'cohort', line[3], 'frozen_for', opens) end
end

-- Whether nothing may be marked by number in a line that is frozen: it will be drawn in a moment. While it waits for its beacon, places
-- are marked by index, and the draw marks their numbers.
local function is_being_drawn(sale, key, number)
  return sale.frozen and number == 0 and redis.call('HGET', key, 'waits') ~= '1'
end

-- How many bits from `first` to `last` are set. Redis 6.2 counts whole bytes only, so the edges are read bit by bit.
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

-- Up to which number a window of this length is over; goes on from a mark, wave by wave.
local function over_upto(sale, waves, mark, called, window)
  while mark < called do
    local wave = redis.call('ZRANGEBYSCORE', waves, mark + 1, '+inf', 'LIMIT', 0, 1)[1]
    local last, at = string.match(wave or '', '^(%d+):(%d+)$')
    if not wave or tonumber(at) + window > sale.now then break end
    mark = tonumber(last)
  end
  return mark
end

-- When a called number's claim window ends; with extra time it is twice as long. A wave is "last number:time called";
-- a number belongs to the first wave that reaches it.
local function claim_ends(sale, waves, number, extra_time)
  local wave = redis.call('ZRANGEBYSCORE', waves, number, '+inf', 'LIMIT', 0, 1)[1]
  if not wave then return nil end
  return tonumber(string.match(wave, ':(%d+)$')) + sale.claim * (extra_time and 2 or 1)
end

-- Token bucket (GCRA): when it will be full again after one more call, or nil when that call is too fast. It allows one call every
-- `gap` ms and `burst` calls at once. `full_at` is the time before this call; gap 0 lets everything through.
local function pace_after(full_at, gap, burst)
  if gap == 0 then return full_at end
  -- No bucket ever needs so long to fill, so the wall clock has gone back.
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

-- Writes token buckets, by key; each key lives until its bucket is full.
local function keep_paces(paces)
  for key, full_at in pairs(paces) do
    local ms = math.ceil(full_at - wall_clock())
    if ms > 0 then redis.call('SET', key, string.format('%.3f', full_at), 'PX', ms) end
  end
end

-- The answers of one command about several fields or members of a key (HMGET, SMISMEMBER, ZMSCORE), by field. EXISTS comes first,
-- because mostly there is no such key.
local function values_of(command, key, fields)
  local values = {}
  if #fields > 0 and redis.call('EXISTS', key) == 1 then
    for i, value in ipairs(redis.call(command, key, unpack(fields))) do values[fields[i]] = value end
  end
  return values
end

-- Which bits of a bitmap are set, by position.
local function bits_of(key, positions)
  local gets, bits = {}, {}
  for _, position in ipairs(positions) do
    gets[#gets + 1], gets[#gets + 2], gets[#gets + 3] = 'GET', 'u1', position
  end
  for i, bit in ipairs(redis.call('BITFIELD', key, unpack(gets))) do bits[positions[i]] = bit == 1 end
  return bits
end

-- How many units one person is expected to take: the average of those who have reserved in the line, and of one more person who
-- takes the most. So the first people are called as if each took the most, and the next ones as people really buy.
local function expected_quantity(most, people, units)
  return (tonumber(most) + tonumber(units or 0)) / (1 + tonumber(people or 0))
end

-- A person with so many unpaid holds in a campaign gets no further hold.
local UNPAID_MAX = 2

local WORD = 'w'

local function unpack_place(packed)
  local value = math.abs(tonumber(packed))
  local line = value % 256
  value = (value - line) / 256
  local returns = value % 4
  return {line = line, returns = returns, index = (value - returns) / 4}
end

local function pack_place(place, by_code)
  local value = (place.index * 4 + place.returns) * 256 + place.line
  return string.format('%.0f', by_code and value or -value)
end

local function is_by_code(packed) return string.byte(packed) ~= 45 end  -- 45 is the minus sign

-- The packed place that a digest leads to for this kind of proof, or false; also for a line without places (no bucket).
local function packed_place_of(bucket, digest, by_code)
  local packed = bucket and redis.call('HGET', bucket, digest)
  if not packed or is_by_code(packed) == by_code then return packed end
  return not by_code and redis.call('HGET', bucket, digest .. WORD)
end

-- Stores the packed place of a digest. The sign of the packed place says which kind of proof it is for.
local function keep_place(bucket, digest, packed)
  local by_code, known = is_by_code(packed), redis.call('HGET', bucket, digest)
  if known and is_by_code(known) ~= by_code then
    if by_code then redis.call('HSET', bucket, digest .. WORD, known) else digest = digest .. WORD end
  end
  redis.call('HSET', bucket, digest, packed)
end
