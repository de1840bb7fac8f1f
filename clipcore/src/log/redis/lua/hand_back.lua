-- Gives a seized partition back: to its former owner for as long as its claim had still run, else to whoever comes.
-- KEYS: log. ARGV: log id, token. Gives {'done'}, {'stale', token}, or {'lost'}.
local log = redis.call('HMGET', KEYS[1], 'id', 'token', 'before')
if log[1] ~= ARGV[1] then return {'lost'} end
if log[2] ~= ARGV[2] then return {'stale', log[2]} end
if not log[3] then return {'done'} end
local left, owner = string.match(log[3], '^(%d+) (.*)$')
if left then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[1], 'owner', owner, 'until', string.format('%d', now + left))
else
  redis.call('HDEL', KEYS[1], 'until')
end
redis.call('HDEL', KEYS[1], 'before')
return {'done'}
