-- ARGV: job, then parent chunk, JSON of image indices for each. Failed images are queued again, each parent's in a new
-- chunk; others are left alone. Answers the number of images taken back, or cancelled, or gone.
local job, taken = ARGV[1], 0
if not field(job, 'model') then return 'gone' end
if field(job, 'cancel') then return 'cancelled' end

-- Chosen here: of two who retry at once, each gets a chunk.
local function free_name(parent)
  local n = 1
  while redis.call('HEXISTS', key(CHUNKS, job), parent .. 'r' .. n) == 1 do n = n + 1 end
  return parent .. 'r' .. n
end

for position = 2, #ARGV, 2 do
  local parent, wanted = ARGV[position], cjson.decode(ARGV[position + 1])
  local indices = {}
  for _, index in ipairs(wanted) do
    if redis.call('GETRANGE', key(IMAGES, job), index, index) == 'f' then indices[#indices + 1] = index end
  end
  if #indices > 0 then
    withdraw_end(job)
    local record = { f = indices[1], n = #indices, x = indices, a = 0, p = parent }
    paint(job, record, function() return 'q' end)
    redis.call('HDEL', key(FAILURES, job), unpack(indices))
    make_pending(job, free_name(parent), record)
    taken = taken + #indices
  end
end
if taken > 0 then
  -- The rate is that of the work that goes on, not of the days in between.
  local j = redis.call('HMGET', key(JOB, job), 'succeeded', 'failed')
  redis.call('HSET', key(JOB, job), 'started_at', stamp(NOW), 'done_before', number(j[1]) + number(j[2]))
  redis.call('HDEL', key(JOB, job), 'run_at', 'pace', 'raised')
end
settle(job)
return taken
