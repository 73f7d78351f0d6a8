-- Writes what the fleet was told of keys, unless later words stand there, or forgets what was read there.
--
-- KEYS  1 the table, a hash: "a" or "w" (it was taken back), from ms, until ms, stamp
-- ARGV  1 "say": also in place of words that nobody can read · "repeat": what this server may have lost
--         "forget": where nothing else was written since · 2… a key and its row, again and again
-- Reply: for each key "done", "same" where it was so before, else the row that stays
local verb = ARGV[1]
local time = redis.call('TIME')
-- The same bound as in Rust: nobody can have said it later than now.
local latest = time[1] * 1000 + math.floor(time[2] / 1000) + 60000

-- When a row was said, in ms by this server's clock, and the 16 bits that tell two of one ms apart.
local function said(row)
  local stamp = string.match(row, '^[aw] %d+ %d+ (%x+)$')
  if not stamp or #stamp > 16 then return nil end
  stamp = string.rep('0', 16 - #stamp) .. stamp
  local ms = tonumber(string.sub(stamp, 1, 12), 16)
  if ms > latest then return 0, 0 end
  return ms, tonumber(string.sub(stamp, 13), 16)
end

local function stays(held, row)
  local ms, more = said(held)
  if not ms then return verb == 'repeat' end
  local our_ms, our_more = said(row)
  if ms ~= our_ms then return ms > our_ms end
  if more ~= our_more then return more > our_more end
  return verb == 'repeat'
end

local reply = {}
for i = 2, #ARGV, 2 do
  local key, row = ARGV[i], ARGV[i + 1]
  local held = redis.call('HGET', KEYS[1], key)
  if verb == 'forget' then
    -- What was said anew since it was read is not over.
    if held == row then redis.call('HDEL', KEYS[1], key) end
    reply[#reply + 1] = 'done'
  elseif held == row then
    reply[#reply + 1] = 'same'
  elseif held and stays(held, row) then
    reply[#reply + 1] = held
  else
    redis.call('HSET', KEYS[1], key, row)
    reply[#reply + 1] = 'done'
  end
end
return reply
