-- ARGV: job, chunk, token, worker, lease seconds, newest schema version that the worker knows. Claims the chunk without a
-- hint, for a worker that was asked for this very one. Answers {claimed, attempt, options, model, priority, chunk that holds
-- the references, image indices, 1 if in quarantine, trace, digest of the references, carried references as in `claim`}, or
-- {held} by another, {done}, {cancelled}, {gone}, {newer}. A hint on its way becomes stale: its attempt is not the newest
-- any more. Asking again with the same token repeats the answer.
local job, chunk, token = ARGV[1], ARGV[2], ARGV[3]
local record = load_chunk(job, chunk)
if not record then return { 'gone' } end
local j = redis.call('HMGET', key(JOB, job), 'options', 'model', 'priority', 'trace', 'carried')
if is_newer(job, ARGV[6]) then return { 'newer' } end
if record.s == 'p' or record.s == 'h' then
  if field(job, 'cancel') then return { 'cancelled' } end
  local member = job .. '/' .. chunk
  redis.call('ZREM', key(PENDING, job), chunk)
  redis.call('LREM', key(AGAIN, j[2]), 0, member)
  redis.call('ZREM', key(LATER, j[2]), member)
  redis.call('ZREM', key(HINTS, j[2], record.v or j[3]), member)
  record.a, record.v = record.a + 1, nil
  lease(job, chunk, record, token, ARGV[4], ARGV[5])
elseif record.s == 'd' or record.s == 'f' then -- f: of a picture in quarantine, which nobody asks for by name today
  return { 'done' }
elseif record.s == 'c' then
  return { 'cancelled' }
elseif not (record.s == 'l' and record.o == token) then
  return { 'held' }
end
return { 'claimed', record.a, j[1], j[2], j[3], record.p or chunk, cjson.encode(indices_of(record)), record.q or 0,
  j[4] or '', digest_of(job, record), j[5] or '' }
