-- Stores what somebody wrote under a fence that was drawn for it. ARGV: fence, age ms, fresh ms, swr ms, hard ms,
-- tombstone ms, envelope.
local drawn = fence(ARGV[1])
-- Its tombstone may be gone, and with it the memory of what came later.
local drawn_ms = math.floor((drawn[1] * 1048576 + math.floor(drawn[2] / 4096)) / 1000)
if now - drawn_ms > math.floor(tonumber(ARGV[6]) / 2) then return {0, now_us} end
local cell = look()
if cell and (cell.kind == FOREIGN or above(cell.fence, drawn)) then return {0, now_us} end
store(ARGV[7], drawn, tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
return {1, now_us}
