-- Takes entries away. ARGV: their names. Answers how many there were.
local count = 0
for n = 5, #KEYS do
  count = count + take_away(KEYS[n], ARGV[n - 3])
end
told_all()
return count
