-- Voids every token given out before. ARGV: verb (0 remove, 1 expire), tombstone ms, at least, sent us, how many ms ago whoever
-- asks was told that it is done (0: just now, or nobody knows).

-- Where copies of it lie: what its extension of type 5 says.
local function split_into(cell)
  if not cell or cell.kind ~= VALUE or math.floor(cell.flags / 4) % 2 == 0 then return '' end
  local at = cell.header
  for _ = 1, 255 do
    local front = redis.call('GETRANGE', key, at, at + 2)
    if #front < 3 or string.byte(front) == 0 then return '' end
    local length = string.byte(front, 2) + 256 * string.byte(front, 3)
    if string.byte(front) == 5 then return redis.call('GETRANGE', key, at + 3, at + 2 + length) end
    at = at + 3 + length
  end
  return ''
end

local expire, tombstone, at_least, ago = ARGV[1] == '1', tonumber(ARGV[2]), fence(ARGV[3]), tonumber(ARGV[5])
-- Somebody's list, hash or set is no value of ours, and goes as any other foreign value does.
local seen, cell = pcall(look)
if not seen then
  if not says(cell, 'WRONGTYPE') then error(cell) end
  cell = {kind = FOREIGN}
end
-- Made after that: it stays, with the lease over it, which is younger still. What lies below what the asker knows of is of a
-- server that has forgotten some of it, and its moments are not believed.
if newer(cell, ago) and cell.kind ~= TOMBSTONE and now < cell.hard and not above(at_least, cell.fence) then
  return {1, now_us, bytes(cell.fence), 0, ''}
end
local new = next_fence(cell, at_least)
local resident = cell and (cell.kind == FOREIGN or (cell.kind == VALUE and now < cell.hard))
local salts = split_into(cell)
if expire and cell and cell.kind == VALUE then
  unless_full(function()
    -- Past both windows at once; the body is at most a rescue.
    cell.fence, cell.token, cell.lease_until, cell.lease = new, ZERO, 0, 0
    cell.created = math.min(cell.created, now)
    cell.fresh, cell.swr = cell.created, cell.created
    redis.call('SETRANGE', key, 0, head(cell))
    redis.call('PEXPIREAT', key, cell.hard)
  end)
else
  entomb(cell, new, tombstone, before(tonumber(ARGV[4]), ago))
end
return {1, now_us, bytes(new), resident and 1 or 0, salts}
