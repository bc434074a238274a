-- Put before take, after refuse: the reply to a request that another owner's lock refuses. The
-- waiter's inbox is queued, and further readers are kept out.
local function refused(lock, was, queue, inbox, ticket, age)
  local deaf = queue and not await(lock, was, queue, inbox, ticket, age)
  if queue and shared(was) then
    shut(lock, was, deaf, inbox, ticket, age)
  end
  return refusal(lock, was, life(lock), deaf)
end

