-- Adds an entry once, and announces it. KEYS: stream, delivered. ARGV: revision, JSON, channel, about how many entries
-- are kept (0: all), for how many seconds the delivery is remembered. Gives {whether it was there, entry id}.
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then return {1, known} end
local entry
if ARGV[4] == '0' then
  entry = redis.call('XADD', KEYS[1], '*', 'ce', ARGV[2])
else
  entry = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'ce', ARGV[2])
end
redis.call('HSET', KEYS[2], ARGV[1], entry)
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('PUBLISH', ARGV[3], '{"clipcore":"' .. entry .. '",' .. string.sub(ARGV[2], 2))
return {0, entry}
