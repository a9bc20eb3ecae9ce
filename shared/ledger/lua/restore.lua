-- ARGV: job, number of records, name and JSON of each, then submitted chunk and JSON of image indices for each. For a job
-- of which nothing is in hand although some of its images are not final. The records take the places of such as are
-- not there or nobody can read, and the images are queued again, those of each submitted chunk in a new one. Answers how many these are.
local job, records, taken = ARGV[1], tonumber(ARGV[2]), 0
if not field(job, 'model') or field(job, 'finished_at') or field(job, 'cancel') or in_hand(job) then return 0 end
for position = 3, 2 + 2 * records, 2 do
  local chunk, record = ARGV[position], cjson.decode(ARGV[position + 1])
  if not load_chunk(job, chunk) and is_record(job, record) then
    if record.s == 'd' and record.p then number_end(job, record) end
    save_chunk(job, chunk, record)
  end
end
for position = 3 + 2 * records, #ARGV, 2 do
  local parent, indices = ARGV[position], {}
  for _, index in ipairs(cjson.decode(ARGV[position + 1])) do
    local state = redis.call('GETRANGE', key(IMAGES, job), index, index)
    if state == 'q' or state == 'r' then indices[#indices + 1] = index end
  end
  if #indices > 0 then
    local record = { f = indices[1], n = #indices, x = indices, a = 0, p = parent }
    paint(job, record, function() return 'q' end)
    make_pending(job, free_name(job, parent), record)
    taken = taken + #indices
  end
end
settle(job)
return taken
