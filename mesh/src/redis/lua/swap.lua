-- Replaces an entry by another, or by nothing, if its revision is the expected one (empty: there is none).
-- ARGV: name, expected revision, `put` or `take`, revision, time to live, record. Answers 1, or the revision that is there.
local name, expected = ARGV[2], ARGV[3]
local found = redis.call('GETRANGE', KEYS[5], 0, 15)
if found ~= expected then return found end
if ARGV[4] == 'put' then
  put(KEYS[5], name, ARGV[5], tonumber(ARGV[6]), ARGV[7])
elseif found ~= '' then
  take_away(KEYS[5], name)
end
told_all()
return 1
