-- ARGV: job, chunk, token. The worker hands the chunk back; it is charged nothing. Answers ok or stale.
local job, chunk = ARGV[1], ARGV[2]
local record = held(job, chunk, ARGV[3])
if not record then return 'stale' end
redis.call('ZREM', LEASES, job .. '/' .. chunk)
local after = field(job, 'cancel') and 'c' or 'q'
paint(job, record, function(old) return old == 'r' and after or old end)
make_pending(job, chunk, record)
settle(job)
return 'ok'
