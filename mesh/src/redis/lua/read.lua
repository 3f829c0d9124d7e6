-- Entries in the order of KEYS, or how many bytes they have together if those are more than ARGV[1]: nobody has to hold them to find that out.
local bytes = 0
for _, key in ipairs(KEYS) do
  bytes = bytes + redis.call('STRLEN', key)
end
if bytes > tonumber(ARGV[1]) then return bytes end
return redis.call('MGET', unpack(KEYS))
