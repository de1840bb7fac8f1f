-- Puts another checkpoint in the place of one, or nothing, where it is still that. KEYS: checkpoints. ARGV: consumer, the one, the other or ''.
-- Gives 1 where it is done, or was.
local now = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if now == ARGV[3] then return 1 end
if now ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1
