-- Begins a copy of the records in which some are others. KEYS: log, copy. ARGV: log id, this rewriting, milliseconds that it may pause.
-- Gives {'done'}, {'held'} where another goes on, or {'lost'}.
local log = redis.call('HMGET', KEYS[1], 'id', 'rewriting', 'rewriting_until')
if log[1] ~= ARGV[1] then return {'lost'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if log[2] and log[2] ~= ARGV[2] and tonumber(log[3]) > now then return {'held'} end
redis.call('UNLINK', KEYS[2])
redis.call('HSET', KEYS[1], 'rewriting', ARGV[2], 'rewriting_until', string.format('%d', now + ARGV[3]), 'copied', '0-0')
return {'done'}
