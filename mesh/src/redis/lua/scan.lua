-- A page of names in the order of their bytes. KEYS[1]: an index. ARGV: `e` or `w`, the bounds, how many.
-- Answers the living ones, and the last that was looked at if there may be more.
local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local prefix = string.sub(KEYS[1], 1, -2) .. ARGV[1] .. ':'
local living = {}
for _, name in ipairs(names) do
  -- What cannot be looked at because its slot moves is taken as living.
  if redis.pcall('EXISTS', prefix .. name) ~= 0 then
    living[#living + 1] = name
  elseif ARGV[1] == 'w' then
    redis.call('ZREM', KEYS[1], name)
  end
end
return { living, #names == tonumber(ARGV[4]) and names[#names] or false }
