-- Begins a partition where there is none. KEYS: log. ARGV: format, a new id. Gives {format, id}.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'id', ARGV[2], 'next', '1', 'bytes', '0', 'token', '0')
end
return redis.call('HMGET', KEYS[1], 'format', 'id')
