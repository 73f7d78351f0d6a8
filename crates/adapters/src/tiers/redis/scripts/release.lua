-- Gives a lease back unused. ARGV: token, cool-down ms (0: the load did not fail), class of the failure.
local token, cool, class = fence(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cell = look()
if not holds(cell, token) then return {0, now_us} end
if cell.kind == PLACEHOLDER then
  if cool == 0 then
    redis.call('DEL', key)
  else
    cell = empty()
    cell.kind, cell.fence, cell.hard, cell.cost = FAILED, token, now + cool, class
    replace(cell)
  end
  return {1, now_us}
end
-- A body or a tombstone stays what it is, and the key is left alone meanwhile. Its cost is under the checksum: the class
-- goes where a lease has its length.
cell.token, cell.lease_until, cell.lease = ZERO, 0, 0
if cool > 0 then cell.lease_until, cell.lease = now + cool, class end
amend(cell)
return {1, now_us}
