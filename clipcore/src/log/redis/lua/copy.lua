-- Goes on with the copy. KEYS: log, records, copy. ARGV: log id, this rewriting, milliseconds that it may pause, the entry copied last,
-- the last one to copy, then entry and record of each that is another.
-- Gives {'done'}, {'again'} where the copy is another's or not at that entry, or {'lost'}.
local log = redis.call('HMGET', KEYS[1], 'id', 'rewriting', 'copied')
if log[1] ~= ARGV[1] then return {'lost'} end
if log[2] ~= ARGV[2] then return {'again'} end
if log[3] == ARGV[5] then return {'done'} end
if log[3] ~= ARGV[4] then return {'again'} end
if log[3] ~= '0-0' and redis.call('EXISTS', KEYS[3]) == 0 then return {'again'} end
local other = {}
for i = 6, #ARGV, 2 do other[ARGV[i]] = ARGV[i + 1] end
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[4], ARGV[5])) do
  redis.call('XADD', KEYS[3], entry[1], 'r', other[entry[1]] or entry[2][2])
end
-- What a rewriter that died has left goes by itself.
redis.call('PEXPIRE', KEYS[3], 20 * ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'copied', ARGV[5], 'rewriting_until', string.format('%d', now + ARGV[3]))
return {'done'}
