-- Takes what is there, or gives it other ends. ARGV: verb (0 take, 1 end), at least, longest body to hand over, tombstone ms,
-- fresh ms, swr ms, hard ms, only (0 always, 1 later, 2 sooner), until when somebody waits for it, in us.
local ends_it, at_least, longest, tombstone = ARGV[1] == '1', fence(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local fresh, swr, hard, only = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
-- Whoever asked was answered that nothing is known: it must not be done behind their back.
if now_us > tonumber(ARGV[9]) then return {2, now_us, bytes(ZERO), -1, 0, ''} end
local cell = look()
local may = cell and (cell.kind == FOREIGN or (cell.kind == VALUE and now < cell.fresh)) or false
local left, length, all = -1, 0, ''
if may then
  left, length = redis.call('PTTL', key), redis.call('STRLEN', key)
  if length <= longest then
    all = redis.call('GET', key)
  elseif not ends_it then
    -- Nobody could be handed it.
    may = false
  end
end
if may and ends_it then
  local was = cell.fresh and cell.fresh - now or 0
  may = cell.kind == VALUE and (only == '0' or (only == '1' and fresh > was) or (only == '2' and fresh < was))
end
local new = ZERO
if may then
  new = next_fence(cell, at_least)
  if ends_it and fresh > 0 then
    cell.fence, cell.token, cell.lease_until, cell.lease = new, ZERO, 0, 0
    cell.fresh, cell.swr, cell.hard = now + fresh, now + fresh + swr, now + fresh + math.max(hard, swr)
    amend(cell)
  else
    entomb(cell, new, tombstone, now)
  end
end
return {may and 1 or 0, now_us, bytes(new), left, length, all}
