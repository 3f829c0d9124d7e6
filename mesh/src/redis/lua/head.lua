-- Stands before the scripts that work on entries. KEYS: the index of names, the times at which they expire, who watches, the changes for them,
-- then entries. ARGV[1]: eight random bytes, by which a change is known again.
local index, expiries, watched, changes, nonce = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- How long the index outlives the last entry, so that its end is still told.
local GRACE_MS = 60000
local CHANGES_KEPT = 16384

local function entry_of(name)
  return string.sub(index, 1, -2) .. 'e:' .. name
end

-- The number of the last change, or false: nobody watches, and nothing is told.
local number = redis.call('HGET', watched, 'n')
local told = false

local function tell(what, name, revision)
  if not number then return end
  number = number + 1
  told = true
  redis.call('XADD', changes, 'MAXLEN', '~', CHANGES_KEPT, string.format('%.0f-0', number), what, name, 't', nonce, 'r', revision)
end

-- To be called last by whoever may have told something.
local function told_all()
  if told then
    redis.call('HSET', watched, 'n', string.format('%.0f', number))
    redis.call('PEXPIRE', changes, redis.call('PTTL', watched))
  end
end

-- Takes names out of the index whose time is over. An entry in a slot that moves cannot be looked at, and is left for later.
local function sweep(most)
  local due = redis.call('ZRANGEBYSCORE', expiries, '-inf', string.format('(%.0f', now), 'LIMIT', 0, most)
  for _, name in ipairs(due) do
    if redis.pcall('EXISTS', entry_of(name)) == 0 then
      redis.call('ZREM', expiries, name)
      redis.call('ZREM', index, name)
      tell('x', name, '')
    end
  end
end

-- Lets a key live at least so long, given what it had left before (-2: it was not there); 0 is for ever.
local function keep(key, left, ttl)
  if ttl == 0 then
    redis.call('PERSIST', key)
  elseif left == -2 or (left >= 0 and left < ttl + GRACE_MS) then
    redis.call('PEXPIRE', key, ttl + GRACE_MS)
  end
end

-- An entry is its revision (16 bytes), the time at which it expires (8 bytes, 0: never), and its record.
local function put(key, name, revision, ttl, record)
  local score = number and redis.call('ZSCORE', expiries, name)
  if score and tonumber(score) < now then
    tell('x', name, '')
  end
  local index_left, expiries_left = redis.call('PTTL', index), redis.call('PTTL', expiries)
  if ttl > 0 then
    redis.call('SET', key, revision .. struct.pack('>I8', now + ttl) .. record, 'PXAT', string.format('%.0f', now + ttl))
    redis.call('ZADD', expiries, string.format('%.0f', now + ttl), name)
    keep(expiries, expiries_left, ttl)
  else
    redis.call('SET', key, revision .. struct.pack('>I8', 0) .. record)
    redis.call('ZREM', expiries, name)
  end
  redis.call('ZADD', index, 0, name)
  keep(index, index_left, ttl)
  tell('p', name, revision)
end

local function take_away(key, name)
  if redis.call('UNLINK', key) == 0 then return 0 end
  redis.call('ZREM', index, name)
  redis.call('ZREM', expiries, name)
  tell('d', name, '')
  return 1
end
