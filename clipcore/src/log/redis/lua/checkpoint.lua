-- Stores a checkpoint where the token is valid. KEYS: log, checkpoints.
-- ARGV: log id, token, consumer, writer, call number, JSON.
-- Gives {'done'}, {'stale', token}, or {'lost'}. A call that comes late, after a newer one, changes nothing.
local log = redis.call('HMGET', KEYS[1], 'id', 'token')
if log[1] ~= ARGV[1] then return {'lost'} end
if log[2] ~= ARGV[2] then return {'stale', log[2]} end
local old = redis.call('HGET', KEYS[2], ARGV[3])
if old then
  local writer, number = string.match(old, '^(%S+) (%d+) ')
  if writer == ARGV[4] and tonumber(number) > tonumber(ARGV[5]) then return {'done'} end
end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
return {'done'}
