-- Makes a job once. KEYS: job, queue, queues, what remembers the clip. ARGV: job id, most jobs that wait (0: no limit),
-- seconds it is remembered, field, value, ... Gives 1 where it is new, 0 where it had been made, -1 where the queue is full.
if redis.call('EXISTS', KEYS[4]) == 1 or redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local most = tonumber(ARGV[2])
if most > 0 and redis.call('LLEN', KEYS[2]) >= most then return -1 end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('SET', KEYS[4], ARGV[1], 'EX', ARGV[3])
redis.call('SADD', KEYS[3], KEYS[2])
redis.call('RPUSH', KEYS[2], ARGV[1])
return 1
