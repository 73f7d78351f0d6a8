-- A body of any length, with its expiry, in one moment. ARGV: the longest that is handed over.
local length = redis.call('STRLEN', key)
local left = redis.call('PTTL', key)
local all = ''
if length <= tonumber(ARGV[1]) then all = redis.call('GET', key) or '' end
return {1, now_us, left, length, all}
