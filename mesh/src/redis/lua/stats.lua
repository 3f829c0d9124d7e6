-- How many entries and windows there are. KEYS[5]: the index of windows.
sweep(256)
told_all()
return { redis.call('ZCARD', index), redis.call('ZCARD', KEYS[5]) }
