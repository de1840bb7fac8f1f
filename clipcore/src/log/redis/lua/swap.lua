-- Copies what has come since, and puts the copy in the place of the records. KEYS: log, records, copy, old.
-- ARGV: log id, this rewriting, the entry copied last, most entries of a call.
-- Gives {'done'}, {'more', the entry copied last}, {'again'} where the copy is another's or not at that entry, or {'lost'}.
local log = redis.call('HMGET', KEYS[1], 'id', 'rewriting', 'copied', 'rewritten')
if log[1] ~= ARGV[1] then return {'lost'} end
if log[4] == ARGV[2] then return {'done'} end
if log[2] ~= ARGV[2] or log[3] ~= ARGV[3] then return {'again'} end
local rest = redis.call('XRANGE', KEYS[2], '(' .. ARGV[3], '+', 'COUNT', ARGV[4])
for _, entry in ipairs(rest) do redis.call('XADD', KEYS[3], entry[1], 'r', entry[2][2]) end
if #rest >= tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], 'copied', rest[#rest][1])
  return {'more', rest[#rest][1]}
end
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if oldest then
  -- What was trimmed meanwhile.
  redis.call('XTRIM', KEYS[3], 'MINID', oldest[1])
  if redis.call('XLEN', KEYS[3]) ~= redis.call('XLEN', KEYS[2]) then return {'again'} end
  redis.call('RENAME', KEYS[2], KEYS[4])
  redis.call('RENAME', KEYS[3], KEYS[2])
  redis.call('PERSIST', KEYS[2])
  redis.call('UNLINK', KEYS[4])
else
  redis.call('UNLINK', KEYS[3])
end
redis.call('HDEL', KEYS[1], 'rewriting', 'rewriting_until', 'copied')
redis.call('HSET', KEYS[1], 'rewritten', ARGV[2])
return {'done'}
