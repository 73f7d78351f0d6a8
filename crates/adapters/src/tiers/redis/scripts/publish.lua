-- Stores what was loaded, if the token is still the key's. ARGV: token, sent us, age ms, fresh ms, swr ms, hard ms, envelope.
local token = fence(ARGV[1])
if not holds(look(), token) then return {0, now_us} end
store(ARGV[7], token, tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
return {1, now_us}
