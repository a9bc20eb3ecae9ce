-- ARGV: job, chunk, token, why, tries in quarantine, longest pause; for `raised` also the reason, hand-backs that lead to
-- quarantine, those in quarantine that fail the picture, first pause, pictures in a row that failed so after which the
-- job's next chunk to raise is not tried again. The worker hands the chunk back; it is charged
-- nothing. `why` is
--   returned  the worker stops, or a service stayed away: the chunk is sent again at once
--   spent     the process of its quarantine ended with it: it waits longer each time, so that one picture does not keep
--             a worker busy with starting processes
--   raised    its work raised what nobody foresaw: it waits longer each time, then goes to quarantine, then fails. Once
--             several pictures of the job failed so and none succeeded since, the fault is not one picture's: what else
--             of the job raises fails at once, or a broken job would cost the others many times what a healthy one does
-- Answers ok or stale.
local job, chunk, why, tries, longest = ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local record = held(job, chunk, ARGV[3])
if not record then return 'stale' end
redis.call('ZREM', LEASES, job .. '/' .. chunk)
if why == 'spent' then
  record.b = (record.b or 0) + 1
  put_back(job, chunk, record, tries, math.min(2 ^ (record.b - 1), longest))
elseif why == 'raised' and not field(job, 'cancel') then
  record.e = (record.e or 0) + 1
  if number(field(job, 'raised')) >= tonumber(ARGV[11]) then
    fail(job, chunk, record, 'internal', ARGV[7] .. ' (not tried again: the pictures of this job before it ended so, too)')
  elseif record.q and record.e >= tonumber(ARGV[9]) then
    fail(job, chunk, record, 'internal', ARGV[7])
    redis.call('HINCRBY', key(JOB, job), 'raised', 1)
  elseif not record.q and record.e >= tonumber(ARGV[8]) then
    quarantine(job, chunk, record, 0)
  else
    put_back(job, chunk, record, tries, math.min(tonumber(ARGV[10]) * 2 ^ (record.e - 1), longest))
  end
else
  put_back(job, chunk, record, tries)
end
return 'ok'
