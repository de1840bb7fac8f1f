-- Appends records once. KEYS: log, records, writer, sizes.
-- ARGV: log id, call number, seconds the writer is remembered, token or '', record...
-- Gives {'done', first offset or '0'}, {'stale', token} where another owner has the partition, or {'lost'} where this is not the log that was opened.
-- A call without records says whether the call of that number took effect, and sees to it that it never will.
local log = redis.call('HMGET', KEYS[1], 'id', 'next', 'bytes', 'token')
if log[1] ~= ARGV[1] then return {'lost'} end
local number = tonumber(ARGV[2])
local last = redis.call('HMGET', KEYS[3], 'call', 'first')
if last[1] and tonumber(last[1]) == number then return {'done', last[2]} end
if last[1] and tonumber(last[1]) > number then return {'done', '0'} end
if ARGV[4] ~= '' and ARGV[4] ~= log[4] then return {'stale', log[4]} end

local first, bytes = tonumber(log[2]), tonumber(log[3])
local begin, after = bytes, first
for i = 5, #ARGV do
  redis.call('XADD', KEYS[2], string.format('%d-0', after), 'r', ARGV[i])
  after = after + 1
  bytes = bytes + #ARGV[i]
end
if after > first then
  -- Every 256 offsets: how many bytes lie before.
  if first == 1 or math.floor((first - 1) / 256) ~= math.floor((after - 1) / 256) then
    redis.call('ZADD', KEYS[4], string.format('%d', first), string.format('%d:%d', first, begin))
  end
  redis.call('HSET', KEYS[1], 'next', string.format('%d', after), 'bytes', string.format('%d', bytes))
end
local given = after > first and string.format('%d', first) or '0'
redis.call('HSET', KEYS[3], 'call', ARGV[2], 'first', given)
redis.call('EXPIRE', KEYS[3], ARGV[3])
return {'done', given}
