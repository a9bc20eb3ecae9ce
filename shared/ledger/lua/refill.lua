-- ARGV: model, hint seconds, chunks per slot, least mark. Answers job, chunk, attempt, priority for each hint
-- to send, and the `job/chunk` of each whose record cannot be read.
--
-- The broker holds few messages: `mark` of them per model. Jobs take turns; `high` goes before `bulk` and may
-- stand above the mark, but every fourth place belongs to `bulk` when it has work, so that neither waits for ever. When
-- that place has no room yet, one chunk of `high` is sent at once all the same: `high` borrows it from its next three
-- (half a place in the count says so), so that a lone urgent picture never waits for a bulk chunk.
local MOST_OWED, MOST_IDLE = 100, 200
local model, hint_s, per_slot, least = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

redis.call('ZREMRANGEBYSCORE', key(SERVING, model), '-inf', stamp(NOW))
local slots = 0
for _, member in ipairs(redis.call('ZRANGE', key(SERVING, model), 0, -1)) do
  slots = slots + number(string.match(member, '|(%d+)$'))
end
local mark = math.max(least, per_slot * slots)
local places = number(redis.call('GET', key(PLACES, model)))
if not (places >= 0 and places < 1e15) then places = 0 end -- camq did not write it
local out = { high = redis.call('ZCARD', key(HINTS, model, 'high')), bulk = redis.call('ZCARD', key(HINTS, model, 'bulk')) }
local answer, broken = {}, {}
-- Steps since something was found to send.
local barren = 0

local function waits(priority)
  return redis.call('LLEN', key(TURNS, model, priority)) > 0
end

-- Whether the job is still this model's: it may have been removed, and its id used again for another one's.
local function ours(job)
  return field(job, 'model') == model
end

local function send(job, chunk, record, queue)
  note_time()
  record.s, record.a = 'h', record.a + 1
  record.v = queue ~= field(job, 'priority') and queue or nil
  save_chunk(job, chunk, record)
  redis.call('ZADD', key(HINTS, model, queue), stamp(NOW + hint_s), job .. '/' .. chunk)
  redis.call('EXPIRE', key(HINTS, model, queue), UNFINISHED_TTL_S)
  out[queue], places = out[queue] + 1, places + 1
  for _, value in ipairs({ job, chunk, tostring(record.a), queue }) do
    answer[#answer + 1] = value
  end
end

-- The record of a chunk that still waits to be sent, or nil. One that camq did not write harms no other chunk.
local function waiting(member)
  local function read()
    local job, chunk = string.match(member, '^(.-)/(.+)$')
    local record, unreadable = load_chunk(job, chunk)
    if unreadable then error('unreadable') end
    if record and record.s == 'p' and ours(job) and not field(job, 'cancel') then return { job, chunk, record } end
  end
  local fine, found = pcall(read)
  if not fine then broken[#broken + 1] = member end
  return fine and found or nil
end

-- Takes one chunk of the job whose turn it is, if it turns out to have one.
local function give(priority)
  local turns = key(TURNS, model, priority)
  local job = redis.call('LPOP', turns)
  local fine, known = pcall(ours, job)
  if not fine or not known then return end
  local owed = math.min(number(field(job, 'turns_owed')), MOST_OWED)
  if owed > 0 then
    -- A lone job has nobody to give its turn to, nor has one among many that owe theirs: its debt is forgiven.
    local others = redis.call('LLEN', turns)
    local forgiven = others == 0 or barren > math.min(others, MOST_OWED)
    redis.call('HSET', key(JOB, job), 'turns_owed', forgiven and 0 or owed - 1)
    if not forgiven then
      redis.call('RPUSH', turns, job)
      return
    end
  end
  local popped = redis.call('ZPOPMIN', key(PENDING, job))
  if redis.call('ZCARD', key(PENDING, job)) > 0 then
    redis.call('RPUSH', turns, job)
    redis.call('EXPIRE', turns, UNFINISHED_TTL_S)
  else
    redis.call('HDEL', key(JOB, job), 'in_turn')
  end
  local found = popped[1] and waiting(job .. '/' .. popped[1])
  if found then send(job, found[2], found[3], priority) end
end

-- What was lost with a worker does not queue up behind what nobody began yet, and needs no place: there are never
-- more of these than chunks were in hand or on their way.
local function give_again(member)
  local found = waiting(member)
  if found then send(found[1], found[2], found[3], 'high') end
end

local again = redis.call('LPOP', key(AGAIN, model))
while again do
  give_again(again)
  again = redis.call('LPOP', key(AGAIN, model))
end

-- What waited out its pause failed before. It goes after all that did not, but every 32nd place is its own, so that
-- it comes to an end. (Not one of those that are bulk's.) Its job gives a turn for it, as long as it has any.
local function is_late_due(room)
  return room and redis.call('ZCOUNT', key(LATER, model), '-inf', stamp(NOW)) > 0
    and (math.floor(places) % 32 == 30 or not (waits('high') or waits('bulk')))
end

-- Of the job that waits longest its first chunk: where all chunks of a job raise, the first one soon shows it, and the
-- others need not go the same way.
local function give_late()
  local due = redis.call('ZRANGEBYSCORE', key(LATER, model), '-inf', stamp(NOW), 'LIMIT', 0, 200)
  local member, prefix = due[1], string.match(due[1], '^.-/') or due[1]
  for _, other in ipairs(due) do
    if string.sub(other, 1, #prefix) == prefix and other < member then member = other end
  end
  redis.call('ZREM', key(LATER, model), member)
  local found = waiting(member)
  if not found then return end
  send(found[1], found[2], found[3], field(found[1], 'priority'))
  if field(found[1], 'in_turn') == '1' then
    redis.call('HSET', key(JOB, found[1]), 'turns_owed', number(field(found[1], 'turns_owed')) + 1)
  end
end

-- What turns out to be nothing to send (its job was cancelled, or owes a turn) keeps Redis busy for so many steps only.
local idle, sent = 0, 0
while idle < MOST_IDLE do
  local room = out.high + out.bulk < mark
  local bulk_is_due, before = math.floor(places) % 4 == 3 and waits('bulk'), places
  local borrowed = places % 1 > 0
  if is_late_due(room) then
    give_late()
  elseif waits('high') and out.high < mark and (not bulk_is_due or (not room and not borrowed)) then
    give('high')
    if bulk_is_due and places > before then places = before + 0.5 end
  elseif waits('bulk') and room then
    give('bulk')
    if borrowed and places > before then places = places + 0.5 end
  else
    break
  end
  if #answer == sent then idle, barren = idle + 1, barren + 1 else barren = 0 end
  sent = #answer
end
redis.call('SET', key(PLACES, model), places, 'EX', UNFINISHED_TTL_S)
return { answer, broken }
