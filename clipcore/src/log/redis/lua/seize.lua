-- Takes the partition over for a while from whoever has it. KEYS: log. ARGV: log id, owner, what tells this call from others, milliseconds.
-- Gives {'done', token}, {'held'} where another has seized it, or {'lost'}.
local log = redis.call('HMGET', KEYS[1], 'id', 'token', 'owner', 'acquired', 'until', 'before')
if log[1] ~= ARGV[1] then return {'lost'} end
if log[4] == ARGV[3] then return {'done', log[2]} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = log[5] and tonumber(log[5]) - now or 0
if log[6] and left > 0 then return {'held'} end
-- Whom it is to be handed back to, and for how long: not to one that had seized it and died.
local before = log[6] or ''
if not log[6] and left > 0 then before = string.format('%d ', left) .. log[3] end
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'acquired', ARGV[3], 'until', string.format('%d', now + ARGV[4]), 'before', before)
return {'done', tostring(token)}
