-- ARGV: job, what was left out (JSON, or nothing to keep what is known). No chunk will follow; the job may finish from
-- now on. Answers ok, or gone (it was removed meanwhile).
if not field(ARGV[1], 'model') then return 'gone' end
redis.call('HSET', key(JOB, ARGV[1]), 'sealed', '1')
if ARGV[2] and ARGV[2] ~= '' then redis.call('HSET', key(JOB, ARGV[1]), 'left_out', ARGV[2]) end
settle(ARGV[1])
return 'ok'
