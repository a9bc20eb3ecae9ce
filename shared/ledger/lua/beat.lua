-- ARGV: worker, its line (JSON), slots, seconds until it counts as gone, then each model it serves.
local worker, line, slots, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
redis.call('SET', key(WORKER, worker), line, 'PX', math.floor(ttl * 1000))
if cjson.decode(line).state == 'draining' then
  -- Outlives the worker's leases, so that whoever finds one of them knows that it was asked to stop.
  redis.call('SET', key(STOPPING, worker), '1', 'EX', 7200)
end
redis.call('ZADD', WORKERS, stamp(NOW + ttl), worker)
redis.call('EXPIRE', WORKERS, UNFINISHED_TTL_S)
for position = 5, #ARGV do
  local serving = key(SERVING, ARGV[position])
  redis.call('ZADD', serving, stamp(NOW + ttl), worker .. '|' .. slots)
  redis.call('EXPIRE', serving, UNFINISHED_TTL_S)
  -- A model that is served for months is not forgotten; once a day is often enough.
  if number(redis.call('ZSCORE', MODELS, ARGV[position])) < NOW - 86400 then
    redis.call('ZADD', MODELS, 'XX', stamp(NOW), ARGV[position])
    redis.call('EXPIRE', MODELS, UNFINISHED_TTL_S)
    redis.call('EXPIRE', key(MODEL, ARGV[position]), UNFINISHED_TTL_S)
  end
end
redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', stamp(NOW - 60))
