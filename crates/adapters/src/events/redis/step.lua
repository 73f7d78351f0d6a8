-- One step of the backplane: a batch or a heartbeat goes to the next position, or a new epoch begins.
--
-- KEYS  1 the stream · 2 the floors (a hash) · 3 their ages (a sorted set by ms): one slot
-- ARGV  1 "batch", or "head": a heartbeat if one is due · 2 what carries it: "" the stream, else the name of a channel
--       3 its bytes · 4 a heartbeat is due after ms · 5 floors leave after ms · 6 the most floors · 7 the longest stream
--       8… the floors it raises: a field each
-- Reply: epoch, number of the newest position in it, this server's replication id
--
-- Fields of the hash: ".at" the newest position, ".ms" when, ".run" the replication id under which, ".all" the floor
-- of everything; else a tag or space, whose value is the number of its newest invalidation in this epoch.
local stream, floors, ages = KEYS[1], KEYS[2], KEYS[3]
local channel = ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Another one after each restart and failover: what was told in between may be lost, its numbers used again.
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
local held = redis.call('HMGET', floors, '.at', '.run', '.ms')
local epoch, number = string.match(held[1] or '', '^(%d+)%-(%d+)$')

local function text(n) return string.format('%.0f', n) end

local function last_epoch_of_stream()
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err then return 0 end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return tonumber(string.match(info[i + 1], '^(%d+)')) end
  end
  return 0
end

local function begin()
  local past = math.max(tonumber(epoch or 0), channel == '' and last_epoch_of_stream() or 0)
  epoch, number = text(math.max(now, past + 1)), 0
  redis.call('UNLINK', floors, ages)
  redis.call('HSET', floors, '.run', run)
end

local function write(bytes)
  local at = epoch .. '-' .. text(number + 1)
  if channel == '' then
    local added = redis.pcall('XADD', stream, 'MAXLEN', '~', ARGV[7], at, 'b', bytes)
    if type(added) == 'table' and added.err then return added end
  else
    redis.call('PUBLISH', channel, at .. ' ' .. bytes)
  end
  number = number + 1
  redis.call('HSET', floors, '.at', at, '.ms', text(now))
end

-- What leaves raises the floor of everything: more is covered, nothing less.
local function forget(fields)
  if #fields == 0 then return end
  local all = tonumber(redis.call('HGET', floors, '.all') or 0)
  for _, field in ipairs(fields) do
    all = math.max(all, tonumber(redis.call('HGET', floors, field) or 0))
    redis.call('HDEL', floors, field)
    redis.call('ZREM', ages, field)
  end
  redis.call('HSET', floors, '.all', text(all))
end

if epoch == nil or held[2] ~= run or (channel == '' and redis.call('EXISTS', stream) == 0) then
  begin()
else
  number = tonumber(number)
end
local idle = now - tonumber(held[3] or 0)
if ARGV[1] == 'batch' or number == 0 or idle < 0 or idle >= tonumber(ARGV[4]) then
  local failed = write(ARGV[3])
  if failed then
    -- Somebody else has written to the stream: its numbers prove nothing any more.
    if not string.find(failed.err, 'equal or smaller') then return failed end
    begin()
    failed = write(ARGV[3])
    if failed then return failed end
  end
end
for i = 8, #ARGV do
  redis.call('HSET', floors, ARGV[i], text(number))
  if ARGV[i] ~= '.all' then redis.call('ZADD', ages, text(now), ARGV[i]) end
end
forget(redis.call('ZRANGEBYSCORE', ages, '-inf', '(' .. text(now - ARGV[5]), 'LIMIT', 0, 64))
local excess = math.min(redis.call('ZCARD', ages) - ARGV[6], 512)
if excess > 0 then forget(redis.call('ZRANGE', ages, 0, excess - 1)) end
return { epoch, text(number), run }
