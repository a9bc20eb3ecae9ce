-- ARGV: job. From now on no chunk of it is claimed, and running images are cancelled by the worker that holds them.
-- Queued images are cancelled by `cancel_images`, piece by piece. Answers ok, finished or gone.
local job = ARGV[1]
if not field(job, 'model') then return 'gone' end
if field(job, 'finished_at') then return 'finished' end
redis.call('HSET', key(JOB, job), 'cancel', '1', 'sealed', '1')
redis.call('UNLINK', key(PENDING, job))
redis.call('HSETNX', CANCELLING, job, 0)
redis.call('EXPIRE', CANCELLING, UNFINISHED_TTL_S)
return 'ok'
