-- ARGV: most jobs to look at, seconds between two audits of a job, newest schema version that the worker knows, the
-- failure of an image that nobody will send any more, cap of failures kept. Jobs whose record expired go from the index
-- that is listed to the one that `gc` reads, so that no listing walks them. The next call goes on behind these. Answers
-- job and number of images of each in which images failed so.
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

-- The jobs whose chunks stand in a list, which is read once however many jobs are audited.
local named = {}
local function jobs_in(list, command)
  if not named[list] then
    named[list] = {}
    for _, member in ipairs(redis.call(command, list, 0, -1)) do named[list][string.match(member, '^[^/]*')] = true end
  end
  return named[list]
end

-- Whether a chunk of the job is in a worker's hands, or will be, or is being cancelled.
local function in_hand(job)
  local model = field(job, 'model')
  if jobs_in(LEASES, 'ZRANGE')[job] or jobs_in(key(LATER, model), 'ZRANGE')[job] then return true end
  if jobs_in(key(AGAIN, model), 'LRANGE')[job] or redis.call('HEXISTS', CANCELLING, job) == 1 then return true end
  if field(job, 'cancel') then return false end -- what was sent is not claimed any more
  return jobs_in(key(HINTS, model, 'high'), 'ZRANGE')[job] or jobs_in(key(HINTS, model, 'bulk'), 'ZRANGE')[job]
end

-- A job whose chunks wait stands among those that wait for their turn, unless somebody removed the list. In a long one,
-- where looking takes long, it is looked for when that is shorter.
local function keep_turn(job)
  if redis.call('LLEN', turns_of(job)) <= 1000 and not redis.call('LPOS', turns_of(job), job) then line_up(job) end
end

local function goes_on(slice)
  return string.find(slice, 'q', 1, true) or string.find(slice, 'r', 1, true)
end

-- Ends the images that are not final, of the first megabyte that has such: a job of any size never keeps Redis busy for
-- long. Answers how many, and the indices of at most `most` of them.
local function end_images(job, byte, most)
  local ended, indices = 0, {}
  for start = 0, redis.call('STRLEN', key(IMAGES, job)) - 1, 1048576 do
    local slice = redis.call('GETRANGE', key(IMAGES, job), start, start + 1048575)
    local at = string.find(slice, '[qr]')
    if at then
      while at and #indices < most do
        indices[#indices + 1] = start + at - 1
        at = string.find(slice, '[qr]', at + 1)
      end
      redis.call('SETRANGE', key(IMAGES, job), start, (string.gsub(slice, '[qr]+', function(run)
        ended = ended + #run
        return string.rep(byte, #run)
      end)))
      break
    end
  end
  return ended, indices
end

-- Fails the images that nobody has and nobody will send: without this their job would wait for ever.
local answer = {}
local function fail_images(job)
  -- What somebody else put in the place of the failures keeps no job from its end.
  local ended, indices = end_images(job, 'f', tonumber(ARGV[5]) - number(redis.pcall('HLEN', key(FAILURES, job))))
  for _, index in ipairs(indices) do redis.pcall('HSET', key(FAILURES, job), index, ARGV[4]) end
  answer[#answer + 1], answer[#answer + 2] = job, ended
end

-- A job whose chunks wait keeps its turn. A sealed job whose images are all final has ended; if it has not, somebody
-- wrote over its counters: they are counted again. If some are not final although nothing of it is in hand, somebody
-- wrote over its records, and they end here.
local function audit(job)
  local j = redis.call('HMGET', key(JOB, job), 'sealed', 'finished_at', 'audited_at')
  if j[2] or NOW - number(j[3]) < tonumber(ARGV[2]) or is_newer(job, ARGV[3]) then return end
  local waits = redis.call('ZCARD', key(PENDING, job)) > 0
  if j[1] ~= '1' and not waits then return end
  redis.call('HSET', key(JOB, job), 'audited_at', stamp(NOW))
  if waits then return keep_turn(job) end
  if each_slice(job, goes_on) then
    if in_hand(job) then return end
    if field(job, 'cancel') then end_images(job, 'c', 0) else fail_images(job) end
    if each_slice(job, goes_on) then -- the next call does the rest, and the last one counts
      redis.call('HDEL', key(JOB, job), 'audited_at')
      return settle(job)
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
return answer
