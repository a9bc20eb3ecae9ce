-- Stands before every script, after the key templates of shared/keys.py and the clock.
--
-- A chunk's record (JSON in the job's chunks hash):
--   f, n   first image and number of images         x   image indices, when they are not f .. f+n-1
--   s      p pending, h hinted, l leased, d done, c cancelled, x split into others, f failed without a worker
--   a      attempt (counts hints sent)              k   claims charged: their worker died with the chunk in hand
--   o, w   owner: the claim's token (it stays when the chunk is done: the commit may be repeated), its worker
--   q, b   1 if in quarantine; how often it was handed back because its process there had ended
--   m      the job's count of ends when this chunk was committed or failed: the newest end of an image is its answer
--   e      how often it was handed back because its work raised what nobody foresaw
--   v      queue of the newest hint, when it is not that of the job's priority
--   d      digest of the chunk's references         p   parent: the chunk whose references hold these images
-- Images move only through `paint`, which counts what it changes; so no sequence of calls can count one twice.

local function key(template, ...)
  return string.format(template, ...)
end

local function stamp(seconds)
  return string.format('%.6f', seconds)
end

-- A number that somebody else may have written.
local function number(text)
  return tonumber(text or '0') or 0
end

local FIELDS = { f = 'number', n = 'number', s = 'string', a = 'number', x = 'table', k = 'table', o = 'string',
  w = 'string', q = 'number', b = 'number', e = 'number', m = 'number', v = 'string', d = 'string', p = 'string' }

-- Whether it is a record that these scripts wrote, of images that the job has; the settings allow 256 in a chunk.
local function is_record(job, record)
  if type(record) ~= 'table' then return false end
  for name, kind in pairs(FIELDS) do
    if type(record[name]) ~= kind and (record[name] ~= nil or name == 'f' or name == 'n' or name == 's' or name == 'a')
    then return false end
  end
  local images = redis.call('STRLEN', key(IMAGES, job))
  local function is_whole(value, least, most)
    return type(value) == 'number' and value >= least and value <= most and value % 1 == 0
  end
  if not is_whole(record.f, 0, images - 1) or not is_whole(record.a, 0, 1e9) then return false end
  if not record.x then return is_whole(record.n, 1, math.min(4096, images - record.f)) end
  for _, index in ipairs(record.x) do
    if not is_whole(index, 0, images - 1) then return false end
  end
  return record.n == #record.x and record.n > 0
end

-- The chunk's record, or nil; and then, whether there is something that camq did not write and nobody can read.
local function load_chunk(job, chunk)
  local raw = redis.call('HGET', key(CHUNKS, job), chunk)
  if not raw then return nil, false end
  local fine, record = pcall(cjson.decode, raw)
  if fine and is_record(job, record) then return record, false end
  return nil, true
end

local function save_chunk(job, chunk, record)
  redis.call('HSET', key(CHUNKS, job), chunk, cjson.encode(record))
end

local function field(job, name)
  return redis.call('HGET', key(JOB, job), name) or nil
end

-- Whether a newer release than one that knows schema `version` wrote the job.
local function is_newer(job, version)
  return (tonumber(field(job, 'schema_version') or '1') or 1) > tonumber(version)
end

local KEYS_OF_JOB = { JOB, IMAGES, CHUNKS, RESERVED, PENDING, FAILURES }

-- Keys of a job expire together, and are renewed on each write while the job is unfinished. The index outlives them.
local function renew_ttl(job)
  local ttl = field(job, 'finished_at') and FINISHED_TTL_S or UNFINISHED_TTL_S
  for _, template in ipairs(KEYS_OF_JOB) do redis.call('EXPIRE', key(template, job), ttl) end
  redis.call('EXPIRE', JOBS, INDEX_TTL_S)
end

-- The job has no record any more: listings need not meet it, and `gc` still knows whose objects it finds.
local function retire(job)
  redis.call('ZADD', GONE, redis.call('ZSCORE', JOBS, job) or stamp(NOW), job)
  redis.call('ZREM', JOBS, job)
  redis.call('EXPIRE', GONE, INDEX_TTL_S)
end

-- The chunk's record if this claim still owns it: its token is the fence, because a job that was removed and submitted
-- again counts its attempts from 1 again. If not, nil; but whoever asks is alive, so if it was charged because its
-- worker seemed dead, the charge is taken back.
local function held(job, chunk, token)
  local record, unreadable = load_chunk(job, chunk)
  if unreadable then return nil end -- the reaper reports it when the lease runs out
  if not record then
    redis.call('ZREM', LEASES, job .. '/' .. chunk) -- the job was removed, and now its holder knows
    return nil
  end
  if record.s == 'l' and record.o == token then return record end
  for position, charged in ipairs(record.k or {}) do
    if charged == token then
      table.remove(record.k, position)
      if #record.k == 0 then record.k = nil end
      save_chunk(job, chunk, record)
      break
    end
  end
  return nil
end

local NAMES = { r = 'running', s = 'succeeded', f = 'failed', c = 'cancelled' }

-- A counter that camq did not write begins again: `sweep` counts again when the job is at rest.
local function add(job, name, by)
  local answer = redis.pcall('HINCRBY', key(JOB, job), name, by)
  if type(answer) == 'table' then redis.call('HSET', key(JOB, job), name, 0) end
end

local function count(job, before, after, by)
  if NAMES[before] then add(job, NAMES[before], -by) end
  if NAMES[after] then add(job, NAMES[after], by) end
end

-- Gives each image of the chunk the state `choose(old, position)` and keeps the job's counters true.
local function paint(job, record, choose)
  local images, moved = key(IMAGES, job), {}
  local function step(old, position)
    local new = choose(old, position)
    if new ~= old then
      local move = old .. new
      moved[move] = (moved[move] or 0) + 1
    end
    return new
  end
  if record.x then
    for position, index in ipairs(record.x) do
      local old = redis.call('GETRANGE', images, index, index)
      local new = step(old, position)
      if new ~= old then redis.call('SETRANGE', images, index, new) end
    end
  else
    local old, new = redis.call('GETRANGE', images, record.f, record.f + record.n - 1), {}
    for position = 1, record.n do
      new[position] = step(string.sub(old, position, position), position)
    end
    redis.call('SETRANGE', images, record.f, table.concat(new))
  end
  for move, by in pairs(moved) do
    count(job, string.sub(move, 1, 1), string.sub(move, 2, 2), by)
  end
end

-- To be called with every deadline. It never goes back, so that the next reaper learns of a clock that did.
local function note_time()
  if not (NOW <= number(redis.call('GET', NEWEST))) then
    redis.call('SET', NEWEST, stamp(NOW), 'EX', UNFINISHED_TTL_S)
  end
end

-- The webhook of the job is due at each of its ends; a worker sends what is due.
local function announce_end(job)
  redis.call('HSET', key(JOB, job), 'webhook_state', 'waiting', 'webhook_attempts', 0)
  redis.call('HDEL', key(JOB, job), 'webhook_reason')
  redis.call('ZADD', WEBHOOKS, stamp(NOW), job)
  redis.call('EXPIRE', WEBHOOKS, UNFINISHED_TTL_S)
  note_time()
end

-- The job goes on: a webhook of its last end that was not sent is replaced by that of the next one.
local function withdraw_end(job)
  redis.call('HDEL', key(JOB, job), 'finished_at', 'webhook_state', 'webhook_attempts', 'webhook_reason')
  redis.call('ZREM', WEBHOOKS, job)
end

-- Ends the job when every image of a sealed job is final, and tells those who watch. Counters that camq did not write end
-- nothing: `sweep` counts them again.
local function settle(job)
  local j = redis.call('HMGET', key(JOB, job), 'sealed', 'finished_at', 'webhook', 'total', 'succeeded', 'failed', 'cancelled')
  if not j[4] and not field(job, 'model') then return end -- the job was removed meanwhile: nothing of it may come back
  local left = 0
  for position = 4, 7 do
    local images = j[position] and string.match(j[position], '^%d+$') and tonumber(j[position])
    left = left + (position == 4 and 1 or -1) * (images or 0 / 0)
  end
  if j[1] == '1' and not j[2] and left == 0 then
    redis.call('HSET', key(JOB, job), 'finished_at', stamp(NOW), 'running', 0)
    if j[3] then announce_end(job) end
  end
  renew_ttl(job)
  redis.call('PUBLISH', key(EVENTS, job), 'moved')
end

-- The chunk is in a worker's hands for so many seconds, unless renewed.
local function lease(job, chunk, record, token, worker, seconds)
  record.s, record.o, record.w = 'l', token, worker
  save_chunk(job, chunk, record)
  redis.call('ZADD', LEASES, stamp(NOW + tonumber(seconds)), job .. '/' .. chunk)
  redis.call('EXPIRE', LEASES, UNFINISHED_TTL_S)
  note_time()
  -- A run begins when its first chunk is taken up, and again when all that was in hand was lost before any result.
  local j = redis.call('HMGET', key(JOB, job), 'run_at', 'running', 'pace')
  if not j[1] or (j[2] == '0' and not j[3]) then redis.call('HSET', key(JOB, job), 'run_at', stamp(NOW)) end
  paint(job, record, function(old) return old == 'q' and 'r' or old end)
  redis.call('HSETNX', key(JOB, job), 'started_at', stamp(NOW))
  settle(job)
end

-- The indices of the chunk's images.
local function indices_of(record)
  if record.x then return record.x end
  local indices = {}
  for index = record.f, record.f + record.n - 1 do indices[#indices + 1] = index end
  return indices
end

-- Of the references that hold the chunk's images; a chunk that was split or retried shares its parent's.
local function digest_of(job, record)
  local registered = record.p and load_chunk(job, record.p) or record
  return registered.d or ''
end

local function turns_of(job) return key(TURNS, field(job, 'model'), field(job, 'priority')) end

-- The job waits behind all others of its model and priority.
local function line_up(job)
  redis.call('HSET', key(JOB, job), 'in_turn', '1')
  redis.call('RPUSH', turns_of(job), job)
  redis.call('EXPIRE', turns_of(job), UNFINISHED_TTL_S)
end

-- The chunk waits for its job's turn.
local function take_turn(job, chunk, record)
  redis.call('ZADD', key(PENDING, job), record.x and record.x[1] or record.f, chunk)
  if field(job, 'in_turn') ~= '1' then line_up(job) end
end

-- The chunk waits in the ledger for a place in the broker's queue, and its job for its turn. What was sent before has
-- waited already and goes first, after `pause` seconds if given. A chunk of a cancelled job goes nowhere any more.
local function make_pending(job, chunk, record, pause)
  record.s, record.o, record.w = field(job, 'cancel') and 'c' or 'p', nil, nil
  save_chunk(job, chunk, record)
  if record.s == 'c' then return end
  local model = field(job, 'model')
  if pause then
    redis.call('ZADD', key(LATER, model), stamp(NOW + pause), job .. '/' .. chunk)
    redis.call('EXPIRE', key(LATER, model), UNFINISHED_TTL_S)
    note_time()
    return
  end
  if record.a > 0 then
    redis.call('RPUSH', key(AGAIN, model), job .. '/' .. chunk)
    redis.call('EXPIRE', key(AGAIN, model), UNFINISHED_TTL_S)
    return
  end
  take_turn(job, chunk, record)
end

-- One picture per chunk, so that a picture that kills its process, or makes its work raise, can be told from its
-- neighbours. With a pause they wait among what failed before, else they take their job's turn.
local function quarantine(job, chunk, record, pause)
  paint(job, record, function(old) return old == 'r' and 'q' or old end)
  for position, index in ipairs(indices_of(record)) do
    local single = { f = index, n = 1, x = { index }, a = 0, q = 1, p = record.p or chunk }
    make_pending(job, string.format('%sq%d', chunk, position), single, pause)
  end
  record.s, record.o, record.w = 'x', nil, nil
  save_chunk(job, chunk, record)
  settle(job)
end

-- Each end of a chunk has a higher number than those before it, whatever the chunks are called.
local function number_end(job, record)
  record.m = redis.call('HINCRBY', key(JOB, job), 'ends', 1)
end

-- The chunk's images end without a worker. Their answer is kept here alone, and so beyond the cap.
local function fail(job, chunk, record, code, message)
  paint(job, record, function(old) return (old == 'r' or old == 'q') and 'f' or old end)
  local failure = cjson.encode({ code = code, message = message })
  for _, index in ipairs(indices_of(record)) do redis.call('HSET', key(FAILURES, job), index, failure) end
  record.s, record.o, record.w = 'f', nil, nil
  number_end(job, record)
  save_chunk(job, chunk, record)
  settle(job)
end

-- The chunk leaves its worker's hands without a commit, and waits again. A picture in quarantine that nobody brought to
-- an end, not even to `poison`, in `tries` deaths and hand-backs is failed: it must not take workers down for ever.
local function put_back(job, chunk, record, tries, pause)
  local deaths, returns = #(record.k or {}), record.b or 0
  local cancelled = field(job, 'cancel')
  if record.q and not cancelled and deaths + returns >= tries then
    local what = 'quarantine gave up after %d attempts (its worker died %d times, its own process ended %d times outside '
      .. 'of the picture\'s work); run `camq retry` to try again'
    return fail(job, chunk, record, 'inference', string.format(what, deaths + returns, deaths, returns))
  end
  local after = cancelled and 'c' or 'q'
  paint(job, record, function(old) return (old == 'r' or old == 'q') and after or old end)
  make_pending(job, chunk, record, pause)
  settle(job)
end
