-- ARGV: worker, slots, then each model it served. The worker is gone now, without waiting for its heartbeat to stop.
redis.call('DEL', key(WORKER, ARGV[1]))
redis.call('ZREM', WORKERS, ARGV[1])
for position = 3, #ARGV do
  redis.call('ZREM', key(SERVING, ARGV[position]), ARGV[1] .. '|' .. ARGV[2])
end
