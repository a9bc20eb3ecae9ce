-- ARGV: model, 1 if the high queue is empty else 0, the same for bulk, most chunks to take back in one call, seconds
-- without any reaper that count as an outage, grace seconds after one, charges that lead to quarantine, lease seconds, hint seconds,
-- tries in quarantine, longest pause there, lease seconds of who sends a webhook.
-- Answers the number of leases that ran out, of messages that never arrived, of chunks put into quarantine, and the
-- `job/chunk` of each whose record cannot be read.
--
-- An overdue message counts as lost only when its queue is empty or one sent after it was claimed: behind a slow
-- worker an old message is merely waiting, and sending it again would make the broker grow without bound.
local model, limit, charges, tries = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[7]), tonumber(ARGV[10])
local hints, quarantined, broken = 0, 0, {}

local function take_back(member, expected)
  local job, chunk = string.match(member, '^(.-)/(.+)$')
  local record, unreadable = load_chunk(job, chunk)
  if unreadable then error('unreadable') end
  if not record or record.s ~= expected then return 0 end
  -- Only a death is charged, not a stop, a hand-back or a slow renewal: the worker shows no sign of life.
  if expected == 'l' and redis.call('EXISTS', key(WORKER, record.w), key(STOPPING, record.w)) == 0 then
    record.k = record.k or {}
    table.insert(record.k, record.o)
  end
  if not field(job, 'cancel') and not record.q and #(record.k or {}) >= charges then
    quarantine(job, chunk, record)
    quarantined = quarantined + 1
  else
    put_back(job, chunk, record, tries)
  end
  return 1
end

-- Takes back what is overdue, member by member: one whose record cannot be read harms no other. Returns how many.
local function take_back_overdue(set, expected, before)
  local taken = 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', before or stamp(NOW), 'LIMIT', 0, limit)) do
    redis.call('ZREM', set, member)
    local fine, found = pcall(take_back, member, expected)
    if fine then taken = taken + found else broken[#broken + 1] = member end
  end
  return taken
end

local last, graced = string.match(redis.call('GET', REAPED) or '', '^([%d.]+)(.*)$')
last = tonumber(last)
local was_set_back = math.max(last or 0, number(redis.call('GET', NEWEST))) > NOW

-- After an outage nobody could renew, so nothing can be said of leases yet: every holder gets a little longer.
-- Never twice in a row, or reapers that come late each time would never take anything back.
local late, grace = {}, stamp(NOW + tonumber(ARGV[6]))
if last and graced == '' and NOW - last > tonumber(ARGV[5]) then
  late = redis.call('ZRANGEBYSCORE', LEASES, '-inf', '(' .. grace)
end

-- The first write of all: a Redis without memory refuses it, and after any other one it would take the rest.
redis.call('SET', REAPED, stamp(NOW) .. (#late > 0 and ' grace' or ''), 'EX', UNFINISHED_TTL_S)
redis.call('SET', NEWEST, stamp(NOW), 'EX', UNFINISHED_TTL_S)

-- A clock that was set back (a failover to another host, say) would keep every deadline away for as long as it was
-- ahead, and call every message claimed before newer than all that follow.
local function at_most(set, deadline)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', set, '(' .. stamp(deadline), '+inf')) do
    redis.call('ZADD', set, stamp(deadline), member)
  end
end

if was_set_back then
  at_most(LEASES, NOW + tonumber(ARGV[8]))
  at_most(WEBHOOKS, NOW + tonumber(ARGV[12]))
  local models = redis.call('ZRANGE', MODELS, 0, -1)
  models[#models + 1] = model
  for _, known in ipairs(models) do
    at_most(key(LATER, known), NOW + tonumber(ARGV[11]))
    for _, priority in ipairs({ 'high', 'bulk' }) do
      at_most(key(HINTS, known, priority), NOW + tonumber(ARGV[9]))
      redis.call('DEL', key(CLAIMED, known, priority))
    end
  end
end
for _, member in ipairs(late) do redis.call('ZADD', LEASES, grace, member) end

local leases = take_back_overdue(LEASES, 'l')
for position, priority in ipairs({ 'high', 'bulk' }) do
  local before = stamp(NOW)
  if ARGV[position + 1] ~= '1' then
    local claimed = number(redis.call('GET', key(CLAIMED, model, priority)))
    before = '(' .. stamp(math.min(NOW, claimed))
  end
  hints = hints + take_back_overdue(key(HINTS, model, priority), 'h', before)
end
return { leases, hints, quarantined, broken }
