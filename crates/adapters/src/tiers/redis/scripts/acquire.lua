-- May the asker load? ARGV: lease ms, mode (0 miss, 1 early, 2 backup), fence held, at least, longest body to hand over, step
-- of the token.
local GRANTED, DENIED, FRESH, COOLING, PASS, NOT_OURS = 1, 2, 3, 4, 5, 6
local lease, backup = tonumber(ARGV[1]), ARGV[2] == '2'
local held, at_least, longest, step = fence(ARGV[3]), fence(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local cell = look()

-- Its length, and itself if it is not too long to be sent this way.
local function body()
  local length = redis.call('STRLEN', key)
  if length > longest then return length, '' end
  return length, redis.call('GET', key)
end

local function stale()
  if cell.kind == VALUE and now < cell.hard then return body() end
  return 0, ''
end

if cell then
  if cell.kind == FOREIGN then
    local length, all = body()
    return {NOT_OURS, now_us, redis.call('PTTL', key), length, all}
  end
  if cell.kind == HIT_FOR_MISS and now < cell.fresh then return {PASS, now_us, cell.fresh - now} end
  if (cell.kind == VALUE or cell.kind == NEGATIVE) and now < cell.fresh and above(cell.fence, held) then
    local length, all = body()
    return {FRESH, now_us, length, all}
  end
  if cell.kind == FAILED and now < cell.hard then return {COOLING, now_us, cell.hard - now, cell.cost} end
  if now < cell.lease_until then
    -- Without a token: left alone, because a load of it failed. The class is where a lease has its length.
    if same(cell.token, ZERO) then return {COOLING, now_us, cell.lease_until - now, cell.lease} end
    local since_beat = now - math.max(cell.lease_until - cell.lease, 0)
    if not (backup and since_beat >= math.floor(cell.lease * 2 / 3)) then
      local length, all = stale()
      return {DENIED, now_us, cell.lease_until - now, length, all}
    end
  end
end

-- Another one than any token of this key, those included that this server has forgotten.
local token = ahead(next_fence(cell, at_least), step)
local length, all = 0, ''
local fits = cell and (cell.kind == VALUE or cell.kind == NEGATIVE or cell.kind == TOMBSTONE or cell.kind == PLACEHOLDER)
if fits then
  length, all = stale()
else
  local former = cell
  cell = empty()
  if former then cell.fence = former.fence end
end
cell.token, cell.lease, cell.lease_until = token, lease, now + lease
if fits then amend(cell) else replace(cell) end
return {GRANTED, now_us, bytes(token), length, all}
