-- A heartbeat. ARGV: token, lease ms.
local cell = look()
if not holds(cell, fence(ARGV[1])) then return {0, now_us} end
cell.lease = tonumber(ARGV[2])
cell.lease_until = now + cell.lease
amend(cell)
return {1, now_us}
