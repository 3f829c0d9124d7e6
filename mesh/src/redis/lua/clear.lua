-- Takes a window away. KEYS: the index of windows, the window. ARGV: its name. Answers whether there was one.
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('UNLINK', KEYS[2])
