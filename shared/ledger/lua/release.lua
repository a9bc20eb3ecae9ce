-- ARGV: job, chunk, token, 1 if the process of its quarantine ended with it else 0, tries in quarantine, longest pause.
-- The worker hands the chunk back; it is charged nothing. What ended its process waits longer each time, so that one
-- picture does not keep a worker busy with starting processes. Answers ok or stale.
local job, chunk = ARGV[1], ARGV[2]
local record = held(job, chunk, ARGV[3])
if not record then return 'stale' end
redis.call('ZREM', LEASES, job .. '/' .. chunk)
local pause
if ARGV[4] == '1' then
  record.b = (record.b or 0) + 1
  pause = math.min(2 ^ (record.b - 1), tonumber(ARGV[6]))
end
put_back(job, chunk, record, tonumber(ARGV[5]), pause)
return 'ok'
