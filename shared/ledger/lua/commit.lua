-- ARGV: job, chunk, token, one state byte per image of the chunk, cap of failures kept, then index, error for each.
-- Answers ok (also when this claim was committed before), stale, or miscounted (not one state per image).
local job, chunk, token, states = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local known = load_chunk(job, chunk)
if known and known.s == 'd' and known.o == token then return 'ok' end
local record = held(job, chunk, token)
if not record then return 'stale' end
if #states ~= record.n then return 'miscounted' end
paint(job, record, function(old, position)
  return old == 'r' and string.sub(states, position, position) or old
end)
local failures, cap = key(FAILURES, job), tonumber(ARGV[5])
for position = 6, #ARGV, 2 do
  if redis.call('HLEN', failures) >= cap then break end
  redis.call('HSET', failures, ARGV[position], ARGV[position + 1])
end
record.s, record.w = 'd', nil
save_chunk(job, chunk, record)
redis.call('ZREM', LEASES, job .. '/' .. chunk)
settle(job)
return 'ok'
