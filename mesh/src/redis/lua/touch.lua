-- Gives an entry a new time to live. ARGV: name, time to live. Answers whether there is one.
local key, name, ttl = KEYS[5], ARGV[2], tonumber(ARGV[3])
if redis.call('EXISTS', key) == 0 then return 0 end
local index_left, expiries_left = redis.call('PTTL', index), redis.call('PTTL', expiries)
if ttl > 0 then
  redis.call('SETRANGE', key, 16, struct.pack('>I8', now + ttl))
  redis.call('PEXPIREAT', key, string.format('%.0f', now + ttl))
  redis.call('ZADD', expiries, string.format('%.0f', now + ttl), name)
  keep(expiries, expiries_left, ttl)
else
  redis.call('SETRANGE', key, 16, struct.pack('>I8', 0))
  redis.call('PERSIST', key)
  redis.call('ZREM', expiries, name)
end
keep(index, index_left, ttl)
return 1
