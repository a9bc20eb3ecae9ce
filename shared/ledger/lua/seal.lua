-- ARGV: job. No chunk will follow; the job may finish from now on. Answers ok, or gone (it was removed meanwhile).
if not field(ARGV[1], 'model') then return 'gone' end
redis.call('HSET', key(JOB, ARGV[1]), 'sealed', '1')
settle(ARGV[1])
return 'ok'
