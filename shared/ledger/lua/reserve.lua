-- ARGV: job, chunk, digest of the references that are about to be written. The first to come has the chunk: of two
-- submissions with one id only one may write, or the other's references would be taken for its own.
-- Answers ok, or registered (nothing needs to be written); or cancelled or gone (the job was cancelled or removed
-- meanwhile), sealed, unreadable (camq did not write its record), or differs:<chunk>, and then nothing was written here.
local job, chunk, digest = ARGV[1], ARGV[2], ARGV[3]
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
  if reserved and reserved ~= digest then return 'differs:' .. chunk end
  redis.call('HSET', key(RESERVED, job), chunk, digest)
end
redis.call('HSET', key(JOB, job), 'producer_seen_at', stamp(NOW))
renew_ttl(job)
return known and 'registered' or 'ok'
