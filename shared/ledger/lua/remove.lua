-- ARGV: job. Drops its record; hints and leases of it find nothing any more. Answers 1 if there was one. The index
-- of gone jobs has its id from now on, so that `gc` knows whose objects it may find.
local job = ARGV[1]
local known = redis.call('EXISTS', key(JOB, job))
if redis.call('TYPE', key(JOB, job)).ok ~= 'hash' then redis.call('DEL', key(JOB, job)) end -- camq did not write it
if field(job, 'model') and field(job, 'priority') then redis.call('LREM', turns_of(job), 0, job) end
for _, template in ipairs(KEYS_OF_JOB) do redis.call('DEL', key(template, job)) end
redis.call('ZREM', WEBHOOKS, job)
if known == 1 then retire(job) end
redis.call('PUBLISH', key(EVENTS, job), 'moved')
return known
