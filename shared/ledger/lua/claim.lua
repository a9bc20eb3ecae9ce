-- ARGV: job, chunk, attempt, token, worker, lease seconds, newest schema version that the worker knows. Answers {claimed,
-- options, model, priority, chunk that holds the references, image indices, 1 if in quarantine, trace, digest of the
-- references, references that the ledger carries (perhaps another chunk's) or ''}, or {stale}, {cancelled}, {gone},
-- {newer} (a newer release wrote the job's options and references: its workers get it, and nobody is charged).
-- Asking again with the same token repeats the answer: the first reply may have been lost.
local job, chunk, attempt, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local record = load_chunk(job, chunk)
if not record then return { 'gone' } end
local j = redis.call('HMGET', key(JOB, job), 'options', 'model', 'priority', 'cancel', 'trace', 'carried')
if is_newer(job, ARGV[7]) then return { 'newer' } end
if record.a == attempt and record.s == 'h' then
  local queue = record.v or j[3]
  local hints, claimed = key(HINTS, j[2], queue), key(CLAIMED, j[2], queue)
  local deadline = number(redis.call('ZSCORE', hints, job .. '/' .. chunk))
  if deadline > number(redis.call('GET', claimed)) then
    redis.call('SET', claimed, stamp(deadline), 'EX', UNFINISHED_TTL_S)
  end
  redis.call('ZREM', hints, job .. '/' .. chunk)
  if j[4] then return { 'cancelled' } end
  lease(job, chunk, record, token, ARGV[5], ARGV[6])
elseif not (record.a == attempt and record.s == 'l' and record.o == token) then
  return { 'stale' }
end
return { 'claimed', j[1], j[2], j[3], record.p or chunk, cjson.encode(indices_of(record)), record.q or 0,
  j[5] or '', digest_of(job, record), j[6] or '' }
