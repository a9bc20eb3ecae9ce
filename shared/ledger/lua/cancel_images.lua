-- ARGV: job, images to look at. Cancels those of them that are queued, so that a job of any size never keeps Redis busy
-- for long. Answers 1 while there are more.
local job, size = ARGV[1], tonumber(ARGV[2])
local start = tonumber(redis.call('HGET', CANCELLING, job) or '-1') or 0
if start < 0 then return 0 end

-- Whether there are more.
local function go_on()
  if not field(job, 'model') then return false end -- removed meanwhile
  local images = key(IMAGES, job)
  local after, cancelled = string.gsub(redis.call('GETRANGE', images, start, start + size - 1), 'q', 'c')
  if cancelled > 0 then
    redis.call('SETRANGE', images, start, after)
    add(job, 'cancelled', cancelled)
  end
  return #after == size
end

-- A job that camq did not write must not keep a reaper from the others.
local fine, more = pcall(go_on)
if fine and more then
  redis.call('HSET', CANCELLING, job, start + size)
  return 1
end
redis.call('HDEL', CANCELLING, job)
if fine and field(job, 'model') then settle(job) end
return 0
