-- ARGV: job, chunk, attempt, token, worker, lease seconds. Answers {claimed, options, model, priority, chunk that
-- holds the references, image indices, 1 if in quarantine, digest of
-- the references}, or {stale}, {cancelled}, {gone}.
-- Asking again with the same token repeats the answer: the first reply may have been lost.
local job, chunk, attempt, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local record = load_chunk(job, chunk)
if not record then return { 'gone' } end
local j = redis.call('HMGET', key(JOB, job), 'options', 'model', 'priority', 'cancel', 'started_at')
if record.a == attempt and record.s == 'h' then
  local queue = record.v or j[3]
  local hints, claimed = key(HINTS, j[2], queue), key(CLAIMED, j[2], queue)
  local deadline = tonumber(redis.call('ZSCORE', hints, job .. '/' .. chunk) or '0')
  if deadline > tonumber(redis.call('GET', claimed) or '0') then
    redis.call('SET', claimed, stamp(deadline), 'EX', UNFINISHED_TTL_S)
  end
  redis.call('ZREM', hints, job .. '/' .. chunk)
  if j[4] then return { 'cancelled' } end
  record.s, record.o, record.w = 'l', token, ARGV[5]
  save_chunk(job, chunk, record)
  redis.call('ZADD', LEASES, stamp(NOW + tonumber(ARGV[6])), job .. '/' .. chunk)
  redis.call('EXPIRE', LEASES, UNFINISHED_TTL_S)
  paint(job, record, function(old) return old == 'q' and 'r' or old end)
  if not j[5] then redis.call('HSET', key(JOB, job), 'started_at', stamp(NOW)) end
  settle(job)
elseif not (record.a == attempt and record.s == 'l' and record.o == token) then
  return { 'stale' }
end
return { 'claimed', j[1], j[2], j[3], record.p or chunk, cjson.encode(indices_of(record)), record.q or 0,
  digest_of(job, record) }
