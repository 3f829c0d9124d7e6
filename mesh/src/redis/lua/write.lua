-- Writes all of the entries. ARGV: name, revision, time to live, record of each.
sweep(4)
for n = 5, #KEYS do
  local at = 2 + (n - 5) * 4
  put(KEYS[n], ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3])
end
told_all()
return 1
