-- Put before repair, after owner: a reader whose share has not ended is the owner for its request.
local value_of = owner_of
local function owner_of(lock)
  return shared(value_of(lock)) and ends_of(KEYS[3], {ARGV[1]}, clock())[ARGV[1]] and ARGV[1]
end
