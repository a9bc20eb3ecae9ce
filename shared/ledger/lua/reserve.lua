-- ARGV: job, then chunk, digest for each chunk whose references are about to be written. The first to come has the
-- chunk: of two submissions with one id only one may write, or the other's references would be taken for its own.
-- Answers ok, cancelled or gone (the job was cancelled or removed meanwhile), sealed, or differs:<chunk>.
local job = ARGV[1]
if not field(job, 'model') then return 'gone' end
if field(job, 'cancel') then return 'cancelled' end
for position = 2, #ARGV, 2 do
  local chunk, digest = ARGV[position], ARGV[position + 1]
  local known = load_chunk(job, chunk)
  if not known and field(job, 'sealed') == '1' then return 'sealed' end
  if not known then redis.call('HSETNX', key(RESERVED, job), chunk, digest) end
  if (known and known.d or redis.call('HGET', key(RESERVED, job), chunk)) ~= digest then return 'differs:' .. chunk end
end
redis.call('HSET', key(JOB, job), 'producer_seen_at', stamp(NOW))
renew_ttl(job)
return 'ok'
