-- ARGV: job, image, submitted chunk that holds it or nothing. Answers the image's state byte, its failure or nothing, the
-- submitted chunk, then the name and the record of that chunk and of each chunk that repeated this image; or {} when no
-- chunk of the usual name (its number) holds it. Of a job of any size it reads a few records only.
local job, index, known = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local chunks = key(CHUNKS, job)

-- The image's place among those of the chunk, or nil.
local function place(record)
  if not record.x then
    local at = index - record.f + 1
    return at >= 1 and at <= record.n and at or nil
  end
  for position, other in ipairs(record.x) do
    if other == index then return position end
  end
end

-- Chunks are numbered in the order of their images, and none is empty.
local function search()
  local low, high = 0, index
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local name = string.format('%06d', middle)
    local record = load_chunk(job, name)
    if record and record.f <= index then
      if place(record) then return name end
      low = middle + 1
    else
      high = middle - 1
    end
  end
end

local submitted = known ~= '' and known or search()
if not submitted then return {} end
local answer = {
  redis.call('GETRANGE', key(IMAGES, job), index, index),
  redis.call('HGET', key(FAILURES, job), index) or '',
  submitted,
}

-- The chunk's record if it holds the image, and what became of the image where the chunk was split.
local function add(name)
  local record = load_chunk(job, name)
  local at = record and place(record)
  if not at then return end
  answer[#answer + 1] = name
  answer[#answer + 1] = redis.call('HGET', chunks, name)
  if record.s == 'x' then add(string.format('%sq%d', name, at)) end
end

add(submitted)
local n = 1
while redis.call('HEXISTS', chunks, submitted .. 'r' .. n) == 1 do
  add(submitted .. 'r' .. n)
  n = n + 1
end
return answer
