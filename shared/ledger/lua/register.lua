-- ARGV: job, then chunk, first, count, digest of a reserved chunk, its references if the ledger is to carry them, else ''.
-- Registering a chunk again does nothing.
-- Answers ok; or cancelled or gone (the job was cancelled or removed meanwhile), sealed, differs:<chunk>, unreadable
-- (camq did not write its record), or unreserved (the job was removed and begun again, and its references may be gone),
-- and then nothing was registered. A submission registers its chunks in their order: one that would leave a gap belongs
-- to an earlier job of this id, and for it the job is gone.
local job, chunk, digest = ARGV[1], ARGV[2], ARGV[5]
if not field(job, 'model') then return 'gone' end
if field(job, 'cancel') then return 'cancelled' end
local known, unreadable = load_chunk(job, chunk)
if unreadable then return 'unreadable' end
if known then
  if known.d ~= digest then return 'differs:' .. chunk end
elseif field(job, 'sealed') == '1' then
  return 'sealed'
else
  local reserved = redis.call('HGET', key(RESERVED, job), chunk)
  if not reserved then return 'unreserved' end
  if reserved ~= digest then return 'differs:' .. chunk end
  local first, size = tonumber(ARGV[3]), tonumber(ARGV[4])
  if first > redis.call('STRLEN', key(IMAGES, job)) then return 'gone' end
  redis.call('HDEL', key(RESERVED, job), chunk)
  redis.call('SETRANGE', key(IMAGES, job), first, string.rep('q', size))
  redis.call('HSET', key(JOB, job), 'total', redis.call('STRLEN', key(IMAGES, job)))
  if ARGV[6] ~= '' then redis.call('HSET', key(JOB, job), 'carried', ARGV[6]) end
  make_pending(job, chunk, { f = first, n = size, a = 0, d = digest })
end
redis.call('HSET', key(JOB, job), 'producer_seen_at', stamp(NOW))
renew_ttl(job)
redis.call('PUBLISH', key(EVENTS, job), 'moved')
return 'ok'
