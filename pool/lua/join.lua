-- Put before share and reshare: lets owners share the lock, each until its own end, and sets the
-- fencing register to their token, if they have one. free says that nobody has the lock, or that it
-- is reserved for them. ends are the ends of those that share it already. An error changes nothing
-- but the expiry of a lock that was shared before.
local function join(lock, readers, free, owners, ends, ttl, now, fence, token, retention)
  local members, new, failed = {}, {}, nil
  for i, owner in ipairs(owners) do
    members[2 * i - 1], members[2 * i] = string.format('%.0f', now + ttl), owner
    new[#new + 1] = not ends[owner] and owner or nil
  end
  local function try(...)
    local reply = not failed and redis.pcall(...)
    failed = failed or type(reply) == 'table' and reply.err and reply
  end
  if free then
    try('SET', lock, 'S:redlock:', 'PX', ttl)
    try('DEL', readers)
  end
  try('ZADD', readers, 'GT', unpack(members))
  try('PEXPIRE', readers, ttl, 'NX')
  if not free then
    try('PEXPIRE', readers, ttl, 'GT')
    try('PEXPIRE', lock, ttl, 'GT')
  end
  if fence then
    try('SET', fence, token, 'PX', retention)
  end
  if not failed then
    return
  end
  if #new > 0 then
    redis.pcall('ZREM', readers, unpack(new))
  end
  if free then
    drop(lock, 'S:redlock:')
  end
  error(failed)
end

