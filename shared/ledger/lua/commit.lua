-- ARGV: job, chunk, attempt, one state byte per image of the chunk, cap of failures kept, then index, error for each.
-- Answers ok (also when this attempt was committed before), stale, or miscounted (not one state per image).
local job, chunk, attempt, states = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local record = load_chunk(job, chunk)
if not record or record.a ~= attempt then return 'stale' end
if record.s == 'd' then return 'ok' end
if record.s ~= 'l' then return 'stale' end
if #states ~= record.n then return 'miscounted' end
paint(job, record, function(old, position)
  return old == 'r' and string.sub(states, position, position) or old
end)
local failures, cap = key(FAILURES, job), tonumber(ARGV[5])
for position = 6, #ARGV, 2 do
  if redis.call('HLEN', failures) >= cap then break end
  redis.call('HSET', failures, ARGV[position], ARGV[position + 1])
end
record.s, record.o, record.w = 'd', nil, nil
save_chunk(job, chunk, record)
redis.call('ZREM', LEASES, job .. '/' .. chunk)
settle(job)
return 'ok'
