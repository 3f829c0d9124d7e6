-- What happened behind a position. ARGV: token, number and mark of the position, how many at most, how long a watch is remembered.
-- Answers nothing when something is missing; or the changes, and in how many milliseconds something expires (-1: nothing does).
if redis.call('HGET', watched, 't') ~= ARGV[2] then return false end
sweep(64)
told_all()
redis.call('PEXPIRE', watched, ARGV[6])
redis.call('PEXPIRE', changes, ARGV[6])
local last = tonumber(ARGV[3])
local from = last > 0 and string.format('%.0f-0', last) or '-'
local found = redis.call('XRANGE', changes, from, '+', 'COUNT', tonumber(ARGV[5]) + 1)
if last > 0 then
  -- The change of the position itself, as proof that this is still the same history. A replica that took over may have another.
  local first = table.remove(found, 1)
  if not first or first[1] ~= from or first[2][4] ~= ARGV[4] then return false end
elseif found[1] and found[1][1] ~= '1-0' then
  return false
end
if #found > tonumber(ARGV[5]) then table.remove(found) end
local next_due = redis.call('ZRANGE', expiries, 0, 0, 'WITHSCORES')[2]
return { found, next_due and math.max(0, tonumber(next_due) - now) or -1 }
