-- ARGV: job. Answers 1 while a lease of one of its chunks runs, also of a job that was removed, else 0.
local prefix = ARGV[1] .. '/'
for _, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '(' .. stamp(NOW), '+inf')) do
  if string.sub(member, 1, #prefix) == prefix then return 1 end
end
return 0
