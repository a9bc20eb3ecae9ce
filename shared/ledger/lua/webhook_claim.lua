-- ARGV: lease seconds. Answers {job, URL, end, attempt} of a webhook that is due, or {}. It is due again when the lease
-- ends: a sender that died is replaced, and no two send at once.
local due = redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', stamp(NOW), 'LIMIT', 0, 1)[1]
while due do
  local j = redis.call('HMGET', key(JOB, due), 'webhook', 'finished_at', 'webhook_state')
  if j[1] and j[2] and j[3] == 'waiting' then
    redis.call('ZADD', WEBHOOKS, stamp(NOW + tonumber(ARGV[1])), due)
    note_time()
    return { due, j[1], j[2], redis.call('HINCRBY', key(JOB, due), 'webhook_attempts', 1) }
  end
  redis.call('ZREM', WEBHOOKS, due) -- the job expired, or somebody wrote here who should not
  due = redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', stamp(NOW), 'LIMIT', 0, 1)[1]
end
return {}
