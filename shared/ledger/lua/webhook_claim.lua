-- ARGV: lease seconds. Answers {job, URL, end, attempt} of a webhook that is due, or {}. It is due again when the lease
-- ends: a sender that died is replaced, and no two send at once.
local function take(due)
  local j = redis.call('HMGET', key(JOB, due), 'webhook', 'finished_at', 'webhook_state')
  if not (j[1] and tonumber(j[2] or '') and j[3] == 'waiting') then return nil end
  local attempt = redis.call('HINCRBY', key(JOB, due), 'webhook_attempts', 1)
  redis.call('ZADD', WEBHOOKS, stamp(NOW + tonumber(ARGV[1])), due)
  note_time()
  return { due, j[1], j[2], attempt }
end

local due = redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', stamp(NOW), 'LIMIT', 0, 1)[1]
while due do
  local fine, call = pcall(take, due)
  if fine and call then return call end
  redis.call('ZREM', WEBHOOKS, due) -- the job expired, or somebody wrote here who should not
  due = redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', stamp(NOW), 'LIMIT', 0, 1)[1]
end
return {}
