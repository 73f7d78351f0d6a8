-- Stores what somebody writes, if its condition holds. ARGV: when (0 always, 1 absent, 2 present), at least, longest body to
-- hand over, sent us, how many ms ago whoever asks was told that it is done (0: just now, or nobody knows), age ms, fresh ms,
-- swr ms, hard ms, envelope.
local when, at_least, longest = ARGV[1], fence(ARGV[2]), tonumber(ARGV[3])
local cell = look()
local there = cell and (cell.kind == FOREIGN or (cell.kind == VALUE and now < cell.fresh)) or false
local has = there or (cell and cell.kind == VALUE and now < cell.hard)
local left, length, all = redis.call('PTTL', key), 0, ''
if has and longest > 0 then
  length = redis.call('STRLEN', key)
  if length <= longest then all = redis.call('GET', key) end
end
local may = (when == '0' or (when == '1') == not there) and not newer(cell, tonumber(ARGV[5]))
local new = ZERO
if may then
  new = next_fence(cell, at_least)
  store(ARGV[10], new, tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]))
end
return {may and 1 or 0, now_us, bytes(new), left, length, all}
