-- ARGV: most jobs to look at, seconds between two audits of a job, newest schema version that the worker knows. Jobs
-- whose record expired go from the index that is listed to the one that `gc` reads, so that no listing walks them. The
-- next call goes on behind these. Answers the jobs that wait for what will never come.
local last = number(redis.call('GET', SWEPT))
if not (last >= 0 and last < 1e15) then last = 0 end -- camq did not write it
local jobs = redis.call('ZRANGEBYSCORE', JOBS, '(' .. stamp(last), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
-- The job's images a megabyte at a time, from the end, where most of what is left to do lies; `look` may end it.
local function each_slice(job, look)
  for stop = redis.call('STRLEN', key(IMAGES, job)), 1, -1048576 do
    local slice = redis.call('GETRANGE', key(IMAGES, job), math.max(0, stop - 1048576), stop - 1)
    if look(slice) then return true end
  end
  return false
end

-- A sealed job whose images are all final has ended; if it has not, somebody wrote over its counters: they are counted
-- again. One of which nothing is in hand, and some images are not final, has records that somebody wrote over: it is
-- stranded.
local stranded = {}
local function audit(job)
  local j = redis.call('HMGET', key(JOB, job), 'sealed', 'finished_at', 'audited_at')
  if j[1] ~= '1' or j[2] or NOW - number(j[3]) < tonumber(ARGV[2]) then return end
  if redis.call('ZCARD', key(PENDING, job)) > 0 or is_newer(job, ARGV[3]) then return end
  redis.call('HSET', key(JOB, job), 'audited_at', stamp(NOW))
  local function goes_on(slice) return string.find(slice, 'q', 1, true) or string.find(slice, 'r', 1, true) end
  if each_slice(job, goes_on) then
    if in_hand(job) then return end
    if not field(job, 'cancel') then
      stranded[#stranded + 1] = job
      return
    end
    for start = 0, redis.call('STRLEN', key(IMAGES, job)) - 1, 1048576 do
      local slice = redis.call('GETRANGE', key(IMAGES, job), start, start + 1048575)
      redis.call('SETRANGE', key(IMAGES, job), start, (string.gsub(slice, '[qr]', 'c')))
    end
  end
  local found = { r = 0, s = 0, f = 0, c = 0 }
  each_slice(job, function(slice)
    for byte in pairs(found) do
      for run in string.gmatch(slice, byte .. '+') do found[byte] = found[byte] + #run end
    end
  end)
  redis.call('HSET', key(JOB, job), 'total', redis.call('STRLEN', key(IMAGES, job)))
  for byte, images in pairs(found) do redis.call('HSET', key(JOB, job), NAMES[byte], images) end
  settle(job)
end

for position = 1, #jobs, 2 do
  if redis.call('EXISTS', key(JOB, jobs[position])) == 0 then
    retire(jobs[position])
  else
    pcall(audit, jobs[position]) -- of another type, a value of somebody else's: it must not hide the others
  end
end
if #jobs < 2 * tonumber(ARGV[1]) then
  redis.call('DEL', SWEPT)
else
  redis.call('SET', SWEPT, jobs[#jobs], 'EX', INDEX_TTL_S)
end
return stranded
