-- ARGV: most jobs to look at. Jobs whose record expired go from the index that is listed to the one that `gc` reads, so
-- that no listing walks them. The next call goes on behind these.
local last = number(redis.call('GET', SWEPT))
if not (last >= 0 and last < 1e15) then last = 0 end -- camq did not write it
local jobs = redis.call('ZRANGEBYSCORE', JOBS, '(' .. stamp(last), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for position = 1, #jobs, 2 do
  if redis.call('EXISTS', key(JOB, jobs[position])) == 0 then retire(jobs[position]) end
end
if #jobs < 2 * tonumber(ARGV[1]) then
  redis.call('DEL', SWEPT)
else
  redis.call('SET', SWEPT, jobs[#jobs], 'EX', INDEX_TTL_S)
end
