-- ARGV: job, then chunk, first, count, digest for each chunk. Registering a chunk again does nothing.
-- Answers ok, cancelled or gone (the job was cancelled or removed meanwhile), sealed, or differs:<chunk>.
local job = ARGV[1]
if not field(job, 'model') then return 'gone' end
if field(job, 'cancel') then return 'cancelled' end
for position = 2, #ARGV, 4 do
  local chunk, first, size, digest = ARGV[position], tonumber(ARGV[position + 1]), tonumber(ARGV[position + 2]), ARGV[position + 3]
  local known = load_chunk(job, chunk)
  if known then
    if known.d ~= digest then return 'differs:' .. chunk end
  elseif field(job, 'sealed') == '1' then
    return 'sealed'
  else
    redis.call('SETRANGE', key(IMAGES, job), first, string.rep('q', size))
    redis.call('HINCRBY', key(JOB, job), 'total', size)
    make_pending(job, chunk, { f = first, n = size, a = 0, d = digest })
  end
end
redis.call('HSET', key(JOB, job), 'producer_seen_at', stamp(NOW))
renew_ttl(job)
redis.call('PUBLISH', key(EVENTS, job), 'moved')
return 'ok'
