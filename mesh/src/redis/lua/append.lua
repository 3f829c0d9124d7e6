-- Appends to a window, trims it by count and age, and lets it live for its age. KEYS: the index of windows, the window.
-- ARGV: name, most entries, oldest age, records. Answers the places of the records.
local index, window = KEYS[1], KEYS[2]
local name, entries_max, age_max = ARGV[1], ARGV[2], tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local new = redis.call('EXISTS', window) == 0
local places = {}
for n = 4, #ARGV do
  places[n - 3] = redis.call('XADD', window, '*', 'r', ARGV[n])
end
redis.call('XTRIM', window, 'MAXLEN', '=', entries_max)
redis.call('XTRIM', window, 'MINID', '=', string.format('%.0f', math.max(0, now - age_max)))
redis.call('PEXPIRE', window, age_max)
local left = redis.call('PTTL', index)
if new then
  redis.call('ZADD', index, 0, name)
  -- A window ends without a word. Each new one looks at a few others, so that the names of the ended never outnumber the living for long.
  for _, other in ipairs(redis.call('ZRANDMEMBER', index, 4)) do
    if redis.pcall('EXISTS', string.sub(index, 1, -2) .. 'w:' .. other) == 0 then
      redis.call('ZREM', index, other)
    end
  end
end
if left == -2 or (left >= 0 and left < age_max + 60000) then
  redis.call('PEXPIRE', index, age_max + 60000)
end
return places
