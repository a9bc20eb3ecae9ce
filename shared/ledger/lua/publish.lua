-- ARGV: model, its card (JSON). What the model offers is kept after its last worker left, and forgotten when nobody has
-- served it for as long as a job of it may wait.
redis.call('SET', key(MODEL, ARGV[1]), ARGV[2], 'EX', UNFINISHED_TTL_S)
redis.call('ZADD', MODELS, stamp(NOW), ARGV[1])
redis.call('EXPIRE', MODELS, UNFINISHED_TTL_S)
redis.call('ZREMRANGEBYSCORE', MODELS, '-inf', stamp(NOW - UNFINISHED_TTL_S))
