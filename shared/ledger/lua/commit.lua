-- ARGV: job, chunk, token, one state byte per image of the chunk, cap of failures kept, the answer for whoever waits for
-- the job (or nothing), then index, error for each failure.
-- Answers ok (also when this claim was committed before), stale, or miscounted (not one state per image).
local job, chunk, token, states = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local known = load_chunk(job, chunk)
if known and known.s == 'd' and known.o == token then return 'ok' end
local record = held(job, chunk, token)
if not record then return 'stale' end
if #states ~= record.n then return 'miscounted' end

-- What shared/ledger/eta.py reads. The chunks that were in hand at the first result began together with it, so their
-- results come as one wave, and say nothing before the wave is over. After the second wave measuring begins where the
-- first one ended, so that a slow start is forgotten, and from then on it moves on a minute at least: long enough to
-- be calm, short enough to notice that workers came or went.
local function keep_pace()
  local j = redis.call('HMGET', key(JOB, job), 'pace', 'succeeded', 'failed', 'running', 'done_before', 'run_at')
  if not j[6] then return end -- taken up by an older release
  local done, before = tonumber(j[2]) + tonumber(j[3]), tonumber(j[5] or '0')
  local pace = j[1] and cjson.decode(j[1]) or { chunks = 0, wave = done + tonumber(j[4]) - before }
  pace.at, pace.chunks = NOW, pace.chunks + 1
  local here = { NOW, done, pace.chunks }
  if not pace.new then
    if done - before >= pace.wave then pace.old, pace.new, pace.first = { tonumber(j[6]), before, 0 }, here, true end
  elseif done - pace.new[2] >= pace.wave and (pace.first or NOW - pace.new[1] >= 60) then
    pace.old, pace.new, pace.first = pace.new, here, nil
  end
  redis.call('HSET', key(JOB, job), 'pace', cjson.encode(pace))
end

paint(job, record, function(old, position)
  return old == 'r' and string.sub(states, position, position) or old
end)
local failures, cap = key(FAILURES, job), tonumber(ARGV[5])
for position = 7, #ARGV, 2 do
  if redis.call('HLEN', failures) >= cap then break end
  redis.call('HSET', failures, ARGV[position], ARGV[position + 1])
end
if string.find(states, 's', 1, true) then redis.call('HDEL', key(JOB, job), 'raised') end
record.s, record.w = 'd', nil
number_end(job, record)
save_chunk(job, chunk, record)
redis.call('ZREM', LEASES, job .. '/' .. chunk)
-- A pace that camq did not write is no reason to count nothing.
if not pcall(keep_pace) then redis.call('HDEL', key(JOB, job), 'pace') end
if ARGV[6] ~= '' then redis.call('PUBLISH', key(ANSWERS, job), ARGV[6]) end
settle(job)
return 'ok'
