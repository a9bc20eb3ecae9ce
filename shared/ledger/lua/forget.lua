-- ARGV: jobs. Takes those whose record is gone out of both indices; one that was submitted again meanwhile stays.
for _, job in ipairs(ARGV) do
  if redis.call('EXISTS', key(JOB, job)) == 0 then
    redis.call('ZREM', JOBS, job)
    redis.call('ZREM', GONE, job)
  end
end
