-- ARGV: model, 1 if the high queue is empty else 0, the same for bulk, most chunks to take back in one call, seconds
-- without any reaper that count as an outage, grace seconds after one, charges that lead to quarantine, lease seconds, hint seconds,
-- tries in quarantine, longest pause there, lease seconds of who sends a webhook.
-- Answers the number of leases that ran out, of messages that never arrived, and of chunks put into quarantine.
--
-- An overdue message counts as lost only when its queue is empty or one sent after it was claimed: behind a slow
-- worker an old message is merely waiting, and sending it again would make the broker grow without bound.
local model, limit, charges, tries = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[7]), tonumber(ARGV[10])
local leases, hints, quarantined = 0, 0, 0

-- One picture per chunk, so that a picture that kills its process can be told from its neighbours.
local function quarantine(job, chunk, record)
  for position, index in ipairs(indices_of(record)) do
    local single = { f = index, n = 1, x = { index }, a = 0, q = 1, p = record.p or chunk }
    make_pending(job, string.format('%sq%d', chunk, position), single)
  end
  record.s, record.o, record.w = 'x', nil, nil
  save_chunk(job, chunk, record)
  quarantined = quarantined + 1
end

local function take_back(member, expected)
  local job, chunk = string.match(member, '^(.-)/(.+)$')
  local record = load_chunk(job, chunk)
  if not record or record.s ~= expected then return 0 end
  -- Only a death is charged, not a stop, a hand-back or a slow renewal: the worker shows no sign of life.
  if expected == 'l' and redis.call('EXISTS', key(WORKER, record.w), key(STOPPING, record.w)) == 0 then
    record.k = record.k or {}
    table.insert(record.k, record.o)
  end
  if not field(job, 'cancel') and not record.q and #(record.k or {}) >= charges then
    paint(job, record, function(old) return old == 'r' and 'q' or old end)
    quarantine(job, chunk, record)
    settle(job)
  else
    put_back(job, chunk, record, tries)
  end
  return 1
end

local function overdue(set, before)
  local members = redis.call('ZRANGEBYSCORE', set, '-inf', before or stamp(NOW), 'LIMIT', 0, limit)
  for _, member in ipairs(members) do redis.call('ZREM', set, member) end
  return members
end

local last, graced = string.match(redis.call('GET', REAPED) or '', '^([%d.]+)(.*)$')
last = tonumber(last)
local was_set_back = math.max(last or 0, tonumber(redis.call('GET', NEWEST) or '0')) > NOW

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
  for _, known in ipairs({ model, unpack(redis.call('ZRANGE', MODELS, 0, -1)) }) do
    at_most(key(LATER, known), NOW + tonumber(ARGV[11]))
    for _, priority in ipairs({ 'high', 'bulk' }) do
      at_most(key(HINTS, known, priority), NOW + tonumber(ARGV[9]))
      redis.call('DEL', key(CLAIMED, known, priority))
    end
  end
end
for _, member in ipairs(late) do redis.call('ZADD', LEASES, grace, member) end

for _, member in ipairs(overdue(LEASES)) do leases = leases + take_back(member, 'l') end
for position, priority in ipairs({ 'high', 'bulk' }) do
  local before = stamp(NOW)
  if ARGV[position + 1] ~= '1' then
    local claimed = tonumber(redis.call('GET', key(CLAIMED, model, priority)) or '0')
    before = '(' .. stamp(math.min(NOW, claimed))
  end
  for _, member in ipairs(overdue(key(HINTS, model, priority), before)) do hints = hints + take_back(member, 'h') end
end
return { leases, hints, quarantined }
