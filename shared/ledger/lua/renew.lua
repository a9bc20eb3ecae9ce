-- ARGV: lease seconds, then job, chunk, attempt for each. Answers held, lost or cancelled for each.
--
-- Whoever renews is alive: if this attempt was charged because its worker seemed dead, the charge is taken back.
local lease_s, answer = tonumber(ARGV[1]), {}

local function forgive(job, chunk, record, attempt)
  for position, charged in ipairs(record.k or {}) do
    if charged == attempt then
      table.remove(record.k, position)
      if #record.k == 0 then record.k = nil end
      return save_chunk(job, chunk, record)
    end
  end
end

for position = 2, #ARGV, 3 do
  local job, chunk, attempt = ARGV[position], ARGV[position + 1], tonumber(ARGV[position + 2])
  local record = load_chunk(job, chunk)
  if record then forgive(job, chunk, record, attempt) end
  if not record or record.s ~= 'l' or record.a ~= attempt then
    answer[#answer + 1] = 'lost'
  else
    redis.call('ZADD', LEASES, stamp(NOW + lease_s), job .. '/' .. chunk)
    answer[#answer + 1] = field(job, 'cancel') and 'cancelled' or 'held'
  end
end
return answer
