-- Takes the partition over. KEYS: log. ARGV: log id, owner, what tells this call from others.
-- Gives {'done', token, former owner}, or {'lost'}.
local log = redis.call('HMGET', KEYS[1], 'id', 'token', 'owner', 'acquired')
if log[1] ~= ARGV[1] then return {'lost'} end
if log[4] == ARGV[3] then return {'done', log[2], ARGV[2]} end
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'acquired', ARGV[3])
redis.call('HDEL', KEYS[1], 'until', 'before')
return {'done', tostring(token), log[3] or ''}
