-- Takes the partition over where nobody else holds it. KEYS: log. ARGV: log id, owner, what tells this call from others, milliseconds.
-- Gives {'done', token, former owner}, {'held'}, or {'lost'}.
local log = redis.call('HMGET', KEYS[1], 'id', 'token', 'owner', 'acquired', 'until')
if log[1] ~= ARGV[1] then return {'lost'} end
if log[4] == ARGV[3] then return {'done', log[2], ARGV[2]} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if log[5] and tonumber(log[5]) > now and log[3] ~= ARGV[2] then return {'held'} end
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'acquired', ARGV[3], 'until', string.format('%d', now + ARGV[4]))
redis.call('HDEL', KEYS[1], 'before')
return {'done', tostring(token), log[3] or ''}
