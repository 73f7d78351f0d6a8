-- What every script begins with: the key, the time, the key's cell and how it is written back.
-- Fences are pairs {hi, lo} of 32 bits: Lua's numbers are exact to 53 bits only, and its strings are compared by locale.
-- 4096 of them are a microsecond.
-- Moments are ms of this node's clock; they fit.
local key = KEYS[1]
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)

local FAMILY, MAGIC, LENGTH = '\181BW', '\181BW1', 80
local LAYOUT = '<c4BBBBI4I4I4I4I8I8I8I8I8I4I4I4I4'
local PLACEHOLDER, VALUE, NEGATIVE, TOMBSTONE, HIT_FOR_MISS, FAILED, FOREIGN = 0, 1, 2, 3, 4, 5, -1
local ZERO = {0, 0}

local function fence(bytes)
  local lo, hi = struct.unpack('<I4I4', bytes)
  return {hi, lo}
end

local function bytes(f)
  return struct.pack('<I4I4', f[2], f[1])
end

local function above(a, b)
  return a[1] > b[1] or (a[1] == b[1] and a[2] > b[2])
end

local function same(a, b)
  return a[1] == b[1] and a[2] == b[2]
end

local function higher(a, b)
  if above(a, b) then return a end
  return b
end

local function ahead(f, steps)
  local lo = f[2] + steps
  if lo >= 4294967296 then return {f[1] + 1, lo - 4294967296} end
  return {f[1], lo}
end

local function empty()
  return {kind = PLACEHOLDER, codec = 0, flags = 0, header = LENGTH, fence = ZERO, token = ZERO, lease_until = 0,
    created = 0, fresh = 0, swr = 0, hard = 0, cost = 0, raw = 0, crc = 0, lease = 0}
end

-- When the key may go: nothing of it can be of use any more.
local function ends(cell)
  return math.max(cell.hard, cell.lease_until)
end

-- What the key holds; nil: nothing, or nothing that this version can read.
local function look()
  local head = redis.call('GETRANGE', key, 0, LENGTH - 1)
  if head == '' then
    if redis.call('EXISTS', key) == 0 then return nil end
    return {kind = FOREIGN}
  end
  if string.sub(head, 1, 3) ~= FAMILY then return {kind = FOREIGN} end
  if string.sub(head, 1, 4) ~= MAGIC or #head < LENGTH then return nil end
  local c = {}
  local fence_lo, fence_hi, token_lo, token_hi, magic
  magic, c.kind, c.codec, c.flags, c.header, fence_lo, fence_hi, token_lo, token_hi, c.lease_until, c.created, c.fresh,
    c.swr, c.hard, c.cost, c.raw, c.crc, c.lease = struct.unpack(LAYOUT, head)
  c.fence, c.token = {fence_hi, fence_lo}, {token_hi, token_lo}
  -- Redis forgets a moment later than we do.
  if now >= ends(c) then return nil end
  return c
end

local function head(c)
  return struct.pack(LAYOUT, MAGIC, c.kind, c.codec, c.flags, c.header, c.fence[2], c.fence[1], c.token[2], c.token[1],
    c.lease_until, c.created, c.fresh, c.swr, c.hard, c.cost, c.raw, c.crc, c.lease)
end

-- The header alone: what follows it stays.
local function amend(c)
  redis.call('SETRANGE', key, 0, head(c))
  redis.call('PEXPIREAT', key, ends(c))
end

-- The header and nothing after it.
local function replace(c)
  redis.call('SET', key, head(c))
  redis.call('PEXPIREAT', key, ends(c))
end

local function holds(c, token)
  return c and c.kind ~= FOREIGN and not same(token, ZERO) and same(c.token, token)
end

-- Above all that this key has seen, not below what the asker asks for.
local function next_fence(c, at_least)
  local f = {math.floor(now_us / 1048576), now_us % 1048576 * 4096}
  if c and c.kind ~= FOREIGN then f = higher(f, ahead(higher(c.fence, c.token), 1)) end
  return higher(f, at_least)
end

-- Whether what is there was made, or was removed, less than so long ago; 0: nobody knows how long.
local function newer(c, ago)
  local dated = c and (c.kind == VALUE or c.kind == NEGATIVE or c.kind == TOMBSTONE)
  return dated and ago > 0 and now - ago < c.created and c.created <= now
end

-- So long before a call was sent. It was at this time of ours or later, in us (0: nobody knows), and may have lain here for
-- long.
local function before(sent_us, ago)
  local sent = now
  if sent_us > 0 then sent = math.min(now, math.floor(sent_us / 1000)) end
  return math.max(sent - ago, 0)
end

-- An envelope as the client made it, with the server block filled in; windows are lengths.
local function store(envelope, under, sent_us, age_ms, fresh_ms, swr_ms, hard_ms)
  local created = before(sent_us, age_ms)
  local fresh = now + fresh_ms
  local block = struct.pack('<I4I4I4I4I8I8I8I8I8', under[2], under[1], 0, 0, 0, created, fresh, fresh + swr_ms, fresh + hard_ms)
  redis.call('SET', key, string.sub(envelope, 1, 8) .. block .. string.sub(envelope, 65, 76) .. '\0\0\0\0' .. string.sub(envelope, 81))
  redis.call('PEXPIREAT', key, fresh + hard_ms)
end

local function says(trouble, word)
  return string.find(type(trouble) == 'table' and trouble.err or tostring(trouble), word, 1, true)
end

-- A full engine that evicts nothing refuses to write, but not to forget: the old value goes and every token is void, only
-- what was to be written is missing.
local function unless_full(write)
  local done, trouble = pcall(write)
  if done then return end
  if not says(trouble, 'OOM') then error(trouble) end
  redis.call('DEL', key)
end

-- A tombstone in the place of whatever there was, for what was removed then: an older write may come yet.
local function entomb(cell, under, tombstone, removed)
  unless_full(function()
    local stone = empty()
    stone.kind, stone.fence, stone.hard = TOMBSTONE, under, now + tombstone
    stone.created = removed
    if cell and cell.kind == TOMBSTONE then
      stone.hard = math.max(stone.hard, cell.hard)
      stone.created = math.max(stone.created, math.min(cell.created, now))
    end
    redis.call('SET', key, head(stone))
    redis.call('PEXPIREAT', key, stone.hard)
  end)
end
