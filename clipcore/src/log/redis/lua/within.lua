-- The first noted offset from which the records take at most so many bytes, else the end. KEYS: log, sizes. ARGV: bytes.
local log = redis.call('HMGET', KEYS[1], 'next', 'bytes')
if not log[1] then return '0' end
local total, room = tonumber(log[2]), tonumber(ARGV[1])
if total <= room then return '0' end
local low, high = 0, redis.call('ZCARD', KEYS[2])
local found = log[1]
while low < high do
  local middle = math.floor((low + high) / 2)
  local offset, before = string.match(redis.call('ZRANGE', KEYS[2], middle, middle)[1], '^(%d+):(%d+)$')
  if total - tonumber(before) <= room then
    found, high = offset, middle
  else
    low = middle + 1
  end
end
return found
