-- ARGV: job, fingerprint, then field/value pairs. Answers created, same, differs, deleting (what is left of an earlier
-- job of this id; the new one's objects would go with it), or collecting (inputs of any age are deleted).
local job, fingerprint = ARGV[1], ARGV[2]
local known = field(job, 'fingerprint')
if known then
  if known ~= fingerprint then return 'differs' end
  redis.call('HSET', key(JOB, job), 'producer_seen_at', stamp(NOW))
  return 'same'
end
if redis.call('EXISTS', key(DELETING, job)) == 1 then return 'deleting' end
if redis.call('EXISTS', COLLECTING) == 1 then return 'collecting' end
redis.call('HSET', key(JOB, job), 'fingerprint', fingerprint, 'created_at', stamp(NOW), 'producer_seen_at', stamp(NOW),
  'sealed', '0', 'total', 0, 'running', 0, 'succeeded', 0, 'failed', 0, 'cancelled', 0)
for position = 3, #ARGV, 2 do
  redis.call('HSET', key(JOB, job), ARGV[position], ARGV[position + 1])
end
redis.call('ZADD', JOBS, stamp(NOW), job)
redis.call('ZREM', GONE, job)
renew_ttl(job)
return 'created'
