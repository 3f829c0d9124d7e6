-- The position behind all changes. ARGV: a token for the case that nobody watches yet, how long a watch is remembered.
-- Answers the token, the number of the last change, and the mark of that change.
sweep(64)
told_all()
if number and tonumber(number) > 0 and redis.call('EXISTS', changes) == 0 then number = false end
if not number then
  redis.call('DEL', changes, watched)
  redis.call('HSET', watched, 't', ARGV[2], 'n', 0)
  number = 0
end
redis.call('PEXPIRE', watched, ARGV[3])
redis.call('PEXPIRE', changes, ARGV[3])
local mark = ''
if tonumber(number) > 0 then
  mark = redis.call('XREVRANGE', changes, '+', '-', 'COUNT', 1)[1][2][4]
end
return { redis.call('HGET', watched, 't'), tonumber(number), mark }
