-- ARGV: lease seconds, then job, chunk, token for each. Answers held, lost or cancelled for each.
local lease_s, answer = tonumber(ARGV[1]), {}
note_time()
for position = 2, #ARGV, 3 do
  local job, chunk = ARGV[position], ARGV[position + 1]
  local fine, record = pcall(held, job, chunk, ARGV[position + 2]) -- one that camq did not write costs no other
  if not fine or not record then
    answer[#answer + 1] = 'lost'
  else
    redis.call('ZADD', LEASES, stamp(NOW + lease_s), job .. '/' .. chunk)
    answer[#answer + 1] = field(job, 'cancel') and 'cancelled' or 'held'
  end
end
return answer
