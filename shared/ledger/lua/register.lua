-- ARGV: job, deletions counted before its inputs were looked for (or nothing: it has no inputs of ours), then chunk,
-- first, count, digest for each reserved chunk. Registering a chunk again does nothing.
-- Answers ok; or cancelled or gone (the job was cancelled or removed meanwhile), sealed, differs:<chunk>, unreserved
-- (the job was removed and begun anew, and its references may be gone), or deleting (so may its inputs), and then
-- nothing was registered.
local job, deletions, new = ARGV[1], ARGV[2], {}
if not field(job, 'model') then return 'gone' end
if field(job, 'cancel') then return 'cancelled' end
local counted = redis.call('GET', DELETIONS) or '0'
local stay = deletions == '' or (deletions == counted and redis.call('EXISTS', key(DELETING, INPUTS)) == 0)
for position = 3, #ARGV, 4 do
  local chunk, digest = ARGV[position], ARGV[position + 3]
  local known = load_chunk(job, chunk)
  if known then
    if known.d ~= digest then return 'differs:' .. chunk end
  elseif field(job, 'sealed') == '1' then
    return 'sealed'
  else
    local reserved = redis.call('HGET', key(RESERVED, job), chunk)
    if not reserved then return 'unreserved' end
    if reserved ~= digest then return 'differs:' .. chunk end
    if not stay then return 'deleting' end
    new[#new + 1] = position
  end
end
for _, position in ipairs(new) do
  local chunk, first, size, digest = ARGV[position], tonumber(ARGV[position + 1]), tonumber(ARGV[position + 2]), ARGV[position + 3]
  redis.call('HDEL', key(RESERVED, job), chunk)
  redis.call('SETRANGE', key(IMAGES, job), first, string.rep('q', size))
  redis.call('HINCRBY', key(JOB, job), 'total', size)
  make_pending(job, chunk, { f = first, n = size, a = 0, d = digest })
end
redis.call('HSET', key(JOB, job), 'producer_seen_at', stamp(NOW))
renew_ttl(job)
redis.call('PUBLISH', key(EVENTS, job), 'moved')
return 'ok'
