-- Entries of a window that are within its bounds. KEYS: the window. ARGV: `last` or `from`, how many, most entries, oldest age, most bytes, and for
-- `from` the time and the sequence to begin at. Answers the entries, oldest first, and whether there are more.
local limit, entries_max, age_max, bytes_max = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local clock = redis.call('TIME')
local oldest = math.max(0, clock[1] * 1000 + math.floor(clock[2] / 1000) - age_max)
local found
if ARGV[1] == 'last' then
  local from = string.format('%.0f', oldest)
  -- Of the newest, no more are asked for than the limit.
  found = redis.call('XREVRANGE', KEYS[1], '+', from, 'COUNT', math.min(limit, entries_max))
else
  local from = { oldest, 0 }
  local function no_earlier(time, sequence)
    if time > from[1] or (time == from[1] and sequence > from[2]) then from = { time, sequence } end
  end
  no_earlier(tonumber(ARGV[6]), tonumber(ARGV[7]))
  local over = redis.call('XLEN', KEYS[1]) - entries_max
  if over > 0 then
    -- Somebody else keeps more in this window than the reader wants to see.
    local part
    if over < entries_max then
      part = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', over + 1)
    else
      part = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', entries_max)
    end
    local time, sequence = string.match(part[#part][1], '(%d+)-(%d+)')
    no_earlier(tonumber(time), tonumber(sequence))
  end
  found = redis.call('XRANGE', KEYS[1], string.format('%.0f-%.0f', from[1], from[2]), '+', 'COUNT', limit + 1)
end
local taken, bytes = {}, 0
for n, entry in ipairs(found) do
  bytes = bytes + #entry[2][2]
  if n > limit or (n > 1 and bytes > bytes_max) then break end
  taken[n] = { entry[1], entry[2][2] }
end
local more = #found > #taken
if ARGV[1] == 'last' then
  for n = 1, math.floor(#taken / 2) do
    taken[n], taken[#taken + 1 - n] = taken[#taken + 1 - n], taken[n]
  end
end
return { taken, more and 1 or 0 }
