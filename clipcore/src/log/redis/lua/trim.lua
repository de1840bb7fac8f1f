-- Drops the oldest records before an offset, a bounded number a call. KEYS: records, sizes. ARGV: before, at most.
-- Gives 1 where there are more to drop.
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not oldest then return 0 end
local first = tonumber(string.match(oldest[1], '^%d+'))
local before = tonumber(ARGV[1])
if first >= before then return 0 end
local to = math.min(before, first + tonumber(ARGV[2]))
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%d-0', to))
-- The last entry at or before the oldest record stays: it says how much lies before.
local keep = redis.call('ZREVRANGEBYSCORE', KEYS[2], string.format('%d', to), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
if keep[2] then redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. keep[2]) end
return to < before and 1 or 0
