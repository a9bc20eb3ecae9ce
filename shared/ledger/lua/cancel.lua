-- ARGV: job. Queued images are cancelled now; running ones by the worker that holds them. Answers ok, finished
-- or gone.
local job = ARGV[1]
if not field(job, 'model') then return 'gone' end
if field(job, 'finished_at') then return 'finished' end
redis.call('HSET', key(JOB, job), 'cancel', '1', 'sealed', '1')
redis.call('DEL', key(PENDING, job))
local images = key(IMAGES, job)
local after, cancelled = string.gsub(redis.call('GET', images) or '', 'q', 'c')
if cancelled > 0 then
  redis.call('SET', images, after)
  redis.call('HINCRBY', key(JOB, job), 'cancelled', cancelled)
end
settle(job)
return 'ok'
