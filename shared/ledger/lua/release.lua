-- ARGV: job, chunk, attempt. The worker hands the chunk back; it is charged nothing. Answers ok or stale.
local job, chunk, attempt = ARGV[1], ARGV[2], tonumber(ARGV[3])
local record = load_chunk(job, chunk)
if not record or record.s ~= 'l' or record.a ~= attempt then return 'stale' end
redis.call('ZREM', LEASES, job .. '/' .. chunk)
local after = field(job, 'cancel') and 'c' or 'q'
paint(job, record, function(old) return old == 'r' and after or old end)
make_pending(job, chunk, record)
settle(job)
return 'ok'
