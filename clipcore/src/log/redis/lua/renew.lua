-- Holds a claimed partition from now on. KEYS: log. ARGV: log id, token, milliseconds.
-- Gives {'done'}, {'stale', token}, or {'lost'}.
local log = redis.call('HMGET', KEYS[1], 'id', 'token')
if log[1] ~= ARGV[1] then return {'lost'} end
if log[2] ~= ARGV[2] then return {'stale', log[2]} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'until', string.format('%d', now + ARGV[3]))
return {'done'}
