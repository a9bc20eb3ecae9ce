-- ARGV: job, end, attempt, why it failed or nothing, seconds until the next try, most seconds from the end to a try.
-- Answers delivered, waiting, failed or stale. A late sender's success counts, its failure does not: another one is
-- at it.
local job, reason = ARGV[1], ARGV[4]
local j = redis.call('HMGET', key(JOB, job), 'finished_at', 'webhook_attempts', 'webhook_state')
if j[1] ~= ARGV[2] or j[3] ~= 'waiting' then return 'stale' end
local again, state = NOW + tonumber(ARGV[5]), 'waiting'
if reason == '' then
  state = 'delivered'
  redis.call('HDEL', key(JOB, job), 'webhook_reason')
elseif j[2] ~= ARGV[3] then
  return 'stale'
else
  redis.call('HSET', key(JOB, job), 'webhook_reason', reason)
  if again > tonumber(j[1]) + tonumber(ARGV[6]) then state = 'failed' end
end
redis.call('HSET', key(JOB, job), 'webhook_state', state)
if state == 'waiting' then
  redis.call('ZADD', WEBHOOKS, stamp(again), job)
  note_time()
else
  redis.call('ZREM', WEBHOOKS, job)
end
redis.call('PUBLISH', key(EVENTS, job), 'moved')
return state
