#!lua name=seckill_leases_v1
-- What Redis does between gateways: it lends an activity's units, confirms buyers' places, and
-- notices by itself that it has forgotten. It must not know orders' states, prices or time.
--
-- One hash for each activity, so that it is lost whole or not at all:
--
--   v                  version of this layout
--   era                "<generation>.<nonce>": one life of this hash
--   inc                the incarnation of Redis that the era was begun on
--   live               0 while gateways declare what they have, then 1
--   sv stocked open    the store's word on the stock: its version, units, 1 while it sells
--   leased unmet       sums over all g:* of `net` and of `unmet`
--   members            the names of all g:*, so that nobody has to look through the buyers
--   g:<gateway>        "<epoch> <n> <net> <placed> <unmet> <reply>": the last request's number, the
--                      units lent, those of them that stand behind a place, those asked for in vain;
--                      reply: "<granted>;<yes>;<no>;<released>", empty before the first request
--   p:<gateway>        "<epoch> <units> <part> <part> …": parts of a declaration under way
--   b:<user>           "<order>,<quantity>,<gateway>,<epoch> …": the user's places
--
-- The pool is never stored, it is `stocked - leased`: two numbers cannot disagree where there is one.
-- Values are plain text: ids have 63 bits and a Lua number has 53, so they stay strings in any
-- packing, and an operator can read the hash. Counts are Lua numbers, whole and below 10^15.
--
-- A place counts while its epoch is that of its gateway's record. So a declaration takes effect in
-- one step, however many parts it came in and however many places of an older epoch it replaces;
-- those are dropped when their user is looked at next.
--
-- Redis does not undo what a function wrote before it failed: each function reads and computes
-- first and writes last. Whatever is malformed, in a message or in the hash, fails before that.

local LIBRARY = 'seckill_leases_v1'
local VERSION = '1'
-- Orders of one message at most: each takes some microseconds, and all of Redis waits for the
-- last. So no call has more values than `unpack` can give, which are some eight thousand.
local ORDERS_MAX = 250
-- Whole numbers of this many digits are exact in a double, also when some are added up.
local DIGITS_MAX = 15
-- The epoch of a gateway without a record: no place has it, and none is older.
local NO_EPOCH = -1

-- Reading and writing values.

local function whole(word)
  assert(string.find(word, '^%d+$') and #word <= DIGITS_MAX, 'not a whole number')
  return tonumber(word)
end

-- Lua's own form of a number has 14 digits and then an exponent.
local function text(number)
  return string.format('%.0f', number)
end

local function id(word)
  assert(string.find(word, '^%d+$'), 'not an id')
  return word
end

local function name(word)
  assert(string.find(word, '^%w+$'), 'not a gateway')
  return word
end

local function flag(is)
  if is then
    return '1'
  end
  return '0'
end

-- The fields of some names, in their order; empty where there is none.
local function read(key, names)
  local values = {}
  if #names > 0 then
    for index, value in ipairs(redis.call('HMGET', key, unpack(names))) do
      values[index] = value or ''
    end
  end
  return values
end

-- Every function's only way to change a hash that it keeps. HSET is last: `begin` has shown that it
-- is allowed, and a user who may not HDEL is refused before anything has changed.
local function write(key, set, dropped)
  if #dropped > 0 then
    redis.call('HDEL', key, unpack(dropped))
  end
  redis.call('HSET', key, unpack(set))
end

-- The guard: memory that was lost is never lent from.

-- Which process this is, and which history it follows. A restart changes the first; a promotion
-- from a replica changes the second alone, and a fail-over there and back ends at the old first.
-- A replica does not answer at all, as if it were asked to write: it is nobody's memory.
local function incarnation()
  local info = redis.pcall('INFO', 'server', 'replication')
  if type(info) ~= 'string' then
    info = ''
  end
  local run, role, history = string.match(info, 'run_id:(%x+).*role:(%a+).*master_replid:(%x+)')
  if not run then
    error({err = 'NOINFO this Redis does not tell its run_id and master_replid'})
  end
  if role ~= 'master' then
    error({err = 'READONLY this Redis is a replica'})
  end
  return run .. history
end

local HEAD = {'v', 'era', 'inc', 'live', 'sv', 'stocked', 'open', 'leased', 'unmet', 'members'}

-- What the hash says of itself and the incarnation of now; or nothing, and a refusal.
local function head_of(key)
  local here = incarnation()
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then
    return nil, {'ABSENT'}, here
  end
  -- What somebody else has put there is left to people.
  if kind ~= 'hash' then
    return nil, {'PROTOCOL', 'FOREIGN'}
  end
  local found = redis.call('HMGET', key, unpack(HEAD))
  if not found[1] then
    return nil, {'PROTOCOL', 'FOREIGN'}
  end
  if found[1] ~= VERSION then
    return nil, {'VERSION', found[1]}
  end
  return {
    era = found[2],
    inc = found[3],
    here = here,
    live = found[4] == '1',
    sv = whole(found[5]),
    stocked = whole(found[6]),
    open = whole(found[7]),
    leased = whole(found[8]),
    unmet = whole(found[9]),
    members = found[10],
  }
end

local function guard(key, era)
  local head, refusal = head_of(key)
  if refusal then
    return nil, refusal
  end
  -- Forgetting is noticed by Redis: the others' numbers may still fit what was rolled back.
  if head.inc ~= head.here then
    return nil, {'FORGOT', head.era}
  end
  -- A message of another era is about another life of this hash.
  if head.era ~= era then
    return nil, {'ERA', head.era}
  end
  return head
end

-- Records of gateways.

local function record_from(line)
  local epoch, n, net, placed, unmet, reply =
    string.match(line, '^(%d+) (%d+) (%d+) (%d+) (%d+) (.*)$')
  assert(epoch, 'a record is damaged')
  return {
    epoch = whole(epoch),
    n = whole(n),
    net = whole(net),
    placed = whole(placed),
    unmet = whole(unmet),
    reply = reply,
  }
end

local function record_of(key, gateway)
  local line = redis.call('HGET', key, 'g:' .. gateway)
  if not line then
    return nil
  end
  return record_from(line)
end

local function record_line(record)
  return table.concat({
    text(record.epoch),
    text(record.n),
    text(record.net),
    text(record.placed),
    text(record.unmet),
    record.reply,
  }, ' ')
end

-- Places.

local function epoch_of(key, epochs, gateway)
  if not epochs[gateway] then
    local record = record_of(key, gateway)
    epochs[gateway] = NO_EPOCH
    if record then
      epochs[gateway] = record.epoch
    end
  end
  return epochs[gateway]
end

-- The places of the users that some orders name, without those of replaced epochs. `epochs` has
-- the epoch of gateways that are known already, and learns the others.
local function open_book(key, epochs, orders)
  local book = {users = {}, lists = {}, epochs = epochs}
  local names = {}
  for _, order in ipairs(orders) do
    if not book.lists[order.user] then
      book.lists[order.user] = {}
      table.insert(book.users, order.user)
      table.insert(names, 'b:' .. order.user)
    end
  end
  local lines = read(key, names)
  for index, user in ipairs(book.users) do
    local places = string.gmatch(lines[index], '(%d+),(%d+),(%w+),(%d+)')
    for order, quantity, gateway, epoch in places do
      local place = {
        order = order, quantity = whole(quantity), gateway = gateway, epoch = whole(epoch),
      }
      if place.epoch >= epoch_of(key, epochs, gateway) then
        table.insert(book.lists[user], place)
      end
    end
  end
  return book
end

-- Where one's own place of an order stands in its user's list; nil where there is none.
local function find(list, order, owner)
  for index, place in ipairs(list) do
    if place.order == order and place.gateway == owner.gateway and place.epoch == owner.epoch then
      return index
    end
  end
  return nil
end

-- Adds a place unless it is there; returns the units added. What is said twice counts once.
local function take_place(book, order, owner)
  local list = book.lists[order.user]
  if find(list, order.order, owner) then
    return 0
  end
  table.insert(list, {
    order = order.order,
    quantity = order.quantity,
    gateway = owner.gateway,
    epoch = owner.epoch,
  })
  return order.quantity
end

-- Drops a place where it is there; returns the units dropped.
local function drop_place(book, order, owner)
  local list = book.lists[order.user]
  local index = find(list, order.order, owner)
  if not index then
    return 0
  end
  return table.remove(list, index).quantity
end

-- Units that stand against an order at its user's limit.
local function others_of(key, book, order)
  local units = 0
  for _, place in ipairs(book.lists[order.user]) do
    local epoch = epoch_of(key, book.epochs, place.gateway)
    if place.epoch == epoch and place.order ~= order.order then
      units = units + place.quantity
    end
  end
  return units
end

-- Adds what the book has to what will be written.
local function close_book(book, set, dropped)
  for _, user in ipairs(book.users) do
    local words = {}
    for _, place in ipairs(book.lists[user]) do
      table.insert(words, table.concat({
        place.order, text(place.quantity), place.gateway, text(place.epoch),
      }, ','))
    end
    if #words > 0 then
      table.insert(set, 'b:' .. user)
      table.insert(set, table.concat(words, ' '))
    else
      table.insert(dropped, 'b:' .. user)
    end
  end
end

-- (user, order) each.
local function releases_from(args, first, last)
  local releases = {}
  for at = first, last, 2 do
    table.insert(releases, {user = id(args[at]), order = id(args[at + 1])})
  end
  return releases
end

-- (user, order, quantity) each, to the end.
local function places_from(args, first)
  local places = {}
  for at = first, #args, 3 do
    local place = {user = id(args[at]), order = id(args[at + 1]), quantity = whole(args[at + 2])}
    table.insert(places, place)
  end
  assert(#places <= ORDERS_MAX, 'too many orders in one message')
  return places
end

-- status(): the era, whether this Redis remembers it, and how far each gateway is.
local function status(keys)
  local head, refusal = head_of(keys[1])
  if refusal then
    return refusal
  end
  local reply = {
    'OK', head.era, flag(head.inc == head.here), flag(head.live), text(head.sv),
    text(head.stocked), text(head.open), text(head.leased),
  }
  for member in string.gmatch(head.members, '%w+') do
    local record = record_of(keys[1], member)
    table.insert(reply, member)
    table.insert(reply, text(record.epoch))
    table.insert(reply, text(record.n))
    table.insert(reply, text(record.net))
    table.insert(reply, text(record.placed))
  end
  return reply
end

-- begin(seen, gen, random): a new era in the place of the one that the caller has seen.
local function begin(keys, args)
  local key, seen, gen, random = keys[1], args[1], whole(args[2]), args[3]
  local head, refusal, here = head_of(key)
  if head then
    here = head.here
    -- Only what the caller has seen is replaced: a late or doubled `begin` ends no era.
    if head.era ~= seen then
      return {'ERA', head.era}
    end
    -- Generations only grow, so a gateway knows an older era when it meets one.
    if gen <= whole(string.match(head.era, '^(%d+)%.')) then
      return {'ERA', head.era}
    end
  else
    if refusal[1] ~= 'ABSENT' or seen ~= '' then
      return refusal
    end
  end
  -- Made here, from this moment: the same `begin`, replayed after a loss, makes another era.
  local time = redis.call('TIME')
  local nonce = redis.sha1hex(table.concat({time[1], time[2], here, random}, ' '))
  local era = text(gen) .. '.' .. string.sub(nonce, 1, 16)
  redis.call('UNLINK', key)
  write(key, {
    'v', VERSION, 'era', era, 'inc', here, 'live', '0', 'sv', '0', 'stocked', '0', 'open', '0',
    'leased', '0', 'unmet', '0', 'members', '',
  }, {})
  return {'OK', era}
end

-- The parts of a declaration that are here already.
local function staged_of(key, gateway)
  local line = redis.call('HGET', key, 'p:' .. gateway)
  local staged = {epoch = NO_EPOCH, units = 0, parts = {}, words = ''}
  if line then
    local epoch, units, words = string.match(line, '^(%d+) (%d+)(.*)$')
    staged.epoch, staged.units, staged.words = whole(epoch), whole(units), words
    for part in string.gmatch(words, '%d+') do
      staged.parts[part] = true
    end
  end
  return staged
end

-- What (gateway, epoch) may still declare in this era: its older record, and what is staged; or
-- nothing and the answer. A later epoch fences: somebody has adopted this gateway.
local function declarable(key, owner)
  local record = record_of(key, owner.gateway)
  if record and record.epoch > owner.epoch then
    return nil, nil, {'FENCED'}
  end
  -- The first declaration counts: a doubled one knows nothing of what was lent since.
  if record and record.epoch == owner.epoch then
    return nil, nil, {'OK'}
  end
  return record, staged_of(key, owner.gateway)
end

-- part(era, gateway, epoch, part, places): places of a declaration that one message cannot carry.
-- They count from the declaration on. Said twice or by an earlier attempt they are the same places:
-- nothing is confirmed or released before the declaration, so what is to be declared cannot change.
local function part(keys, args)
  local key, era, index = keys[1], args[1], text(whole(args[4]))
  local owner = {gateway = name(args[2]), epoch = whole(args[3])}
  local places = places_from(args, 5)
  local _, refusal = guard(key, era)
  if refusal then
    return refusal
  end
  local _, staged, answer = declarable(key, owner)
  if answer then
    return answer
  end
  if staged.epoch > owner.epoch then
    return {'FENCED'}
  end
  if staged.epoch < owner.epoch then
    staged = {epoch = owner.epoch, units = 0, parts = {}, words = ''}
  end
  local book = open_book(key, {}, places)
  for _, place in ipairs(places) do
    staged.units = staged.units + take_place(book, place, owner)
  end
  if not staged.parts[index] then
    staged.words = staged.words .. ' ' .. index
  end
  local line = text(owner.epoch) .. ' ' .. text(staged.units) .. staged.words
  local set, dropped = {'p:' .. owner.gateway, line}, {}
  close_book(book, set, dropped)
  write(key, set, dropped)
  return {'OK'}
end

-- declare(era, gateway, epoch, n, net, parts, places): what a gateway has, by its journal; the
-- last places, behind `parts` parts that came before.
local function declare(keys, args)
  local key, era = keys[1], args[1]
  local owner = {gateway = name(args[2]), epoch = whole(args[3])}
  local n, net, parts = whole(args[4]), whole(args[5]), whole(args[6])
  local places = places_from(args, 7)
  local head, refusal = guard(key, era)
  if refusal then
    return refusal
  end
  local record, staged, answer = declarable(key, owner)
  if answer then
    return answer
  end
  -- A complete roster has declared already: units of a stranger may be lent to another by now.
  if head.live and not record and net > 0 then
    return {'PROTOCOL', 'UNKNOWN_UNITS'}
  end
  for index = 0, parts - 1 do
    if staged.epoch ~= owner.epoch or not staged.parts[text(index)] then
      return {'PROTOCOL', 'PARTS_MISSING'}
    end
  end
  -- Places of an older epoch end here: from now on this epoch's count.
  local book = open_book(key, {[owner.gateway] = owner.epoch}, places)
  local placed = 0
  if staged.epoch == owner.epoch then
    placed = staged.units
  end
  for _, place in ipairs(places) do
    placed = placed + take_place(book, place, owner)
  end
  if record then
    head.leased, head.unmet = head.leased - record.net, head.unmet - record.unmet
  else
    head.members = head.members .. ' ' .. owner.gateway
  end
  local set, dropped = {
    'leased', text(head.leased + net), 'unmet', text(head.unmet), 'members', head.members,
    'g:' .. owner.gateway,
    record_line({epoch = owner.epoch, n = n, net = net, placed = placed, unmet = 0, reply = ''}),
  }, {}
  if staged.epoch <= owner.epoch then
    table.insert(dropped, 'p:' .. owner.gateway)
  end
  close_book(book, set, dropped)
  write(key, set, dropped)
  return {'OK'}
end

-- resume(era, version, stocked, open, roster): lending begins again once everybody who may have
-- units, by the store, has declared: what nobody has declared nobody has.
local function resume(keys, args)
  local key, era = keys[1], args[1]
  local sv, stocked, open = whole(args[2]), whole(args[3]), whole(args[4])
  local head, refusal = guard(key, era)
  if refusal then
    return refusal
  end
  if not head.live then
    -- Whoever asks is a member: a roster without any is no roster.
    if #args < 5 then
      return {'PROTOCOL', 'NOBODY'}
    end
    for at = 5, #args, 2 do
      local gateway, epoch = name(args[at]), whole(args[at + 1])
      local record = record_of(key, gateway)
      if not record or record.epoch ~= epoch then
        return {'NOT_YET', gateway}
      end
    end
    head.sv, head.stocked = sv, stocked
    write(key, {'live', '1', 'sv', text(sv), 'stocked', text(stocked), 'open', text(open)}, {})
  end
  return {'OK', text(math.max(0, head.leased - head.stocked))}
end

-- Answers with what was done under a record's number, and with what the others lack by now beyond
-- the pool: who lacks what lies there has only to ask, and who is gone asks no more.
local function told(head, record)
  local granted, yes, no, released =
    string.match(record.reply, '^(%d+);([%d ]*);([%d ]*);([%d ]*)$')
  assert(granted, 'a reply is damaged')
  local pool = math.max(0, head.stocked - head.leased)
  local short = math.max(0, head.unmet - record.unmet - pool)
  return {'OK', text(record.n), granted, yes, no, released, text(short)}
end

-- The store's word on the stock, where it is news. Units that were stocked stay so: they may be
-- lent, and a pool below zero would lend what comes back to nobody.
local function take_stock(head, ask)
  if ask.sv <= head.sv then
    return true
  end
  if ask.stocked < head.stocked then
    return false
  end
  head.sv, head.stocked, head.open = ask.sv, ask.stocked, ask.open
  return true
end

-- The orders of a batch as they were released.
local function release(book, owner, releases)
  local units, words = 0, {}
  for _, order in ipairs(releases) do
    units = units + drop_place(book, order, owner)
    table.insert(words, order.order)
  end
  return units, table.concat(words, ' ')
end

-- The limit is kept here: a place is confirmed only beside what all gateways have confirmed.
local function confirm(key, book, owner, ask)
  local units, yes, no = 0, {}, {}
  for _, order in ipairs(ask.confirms) do
    local others = others_of(key, book, order)
    local is_there = find(book.lists[order.user], order.order, owner) ~= nil
    if (is_there and others == 0) or others + order.quantity <= ask.limit then
      units = units + take_place(book, order, owner)
      table.insert(yes, order.order)
    else
      units = units - drop_place(book, order, owner)
      table.insert(no, order.order)
    end
  end
  return units, table.concat(yes, ' '), table.concat(no, ' ')
end

local function lease_request(args)
  local releases_last = 11 + 2 * whole(args[11])
  local ask = {
    era = args[1],
    gateway = name(args[2]),
    epoch = whole(args[3]),
    n = whole(args[4]),
    have = whole(args[5]),
    want = whole(args[6]),
    sv = whole(args[7]),
    stocked = whole(args[8]),
    open = whole(args[9]),
    limit = whole(args[10]),
    releases = releases_from(args, 12, releases_last),
    confirms = places_from(args, releases_last + 1),
    orders = {},
  }
  for _, orders in ipairs({ask.releases, ask.confirms}) do
    for _, order in ipairs(orders) do
      table.insert(ask.orders, order)
    end
  end
  assert(#ask.orders <= ORDERS_MAX, 'too many orders in one message')
  return ask
end

-- The record that a request is about; or nothing and the answer, where it needs no work.
local function record_for(key, head, ask)
  if not head.live then
    return nil, {'REBUILDING'}
  end
  local record = record_of(key, ask.gateway)
  if not record or record.epoch < ask.epoch then
    return nil, {'UNDECLARED'}
  end
  if record.epoch > ask.epoch then
    return nil, {'FENCED'}
  end
  -- One number, one answer: a doubled or repeated request is told what was done, and does nothing.
  -- What was declared was no request, so it has no answer that could be told again.
  if ask.n == record.n and record.reply ~= '' then
    return nil, told(head, record)
  end
  if ask.n ~= record.n + 1 then
    return nil, {'NUMBER', text(record.n)}
  end
  return record
end

-- lease(era, gateway, epoch, n, have, want, version, stocked, open, limit, releases, …): the
-- message of daily work: gives back, takes, releases and confirms under one number.
local function lease(keys, args)
  local key, ask = keys[1], lease_request(args)
  local head, refusal = guard(key, ask.era)
  if refusal then
    return refusal
  end
  local record, answer = record_for(key, head, ask)
  if answer then
    return answer
  end
  if not take_stock(head, ask) then
    return {'PROTOCOL', 'STOCK_SHRANK'}
  end
  if ask.have > record.net then
    return {'PROTOCOL', 'HAVE_ABOVE_NET'}
  end
  local book = open_book(key, {[ask.gateway] = ask.epoch}, ask.orders)
  local dropped_units, released = release(book, ask, ask.releases)
  if ask.have < record.placed - dropped_units then
    return {'PROTOCOL', 'HAVE_BELOW_PLACED'}
  end
  local confirmed_units, yes, no = confirm(key, book, ask, ask)
  -- Giving back is absolute: what one has is said, so it cannot be added twice.
  local leased = head.leased + ask.have - record.net
  local granted = 0
  if head.open == 1 then
    granted = math.min(ask.want, math.max(0, head.stocked - leased))
  end
  head.leased = leased + granted
  head.unmet = head.unmet - record.unmet + ask.want - granted
  record.n, record.net, record.unmet = ask.n, ask.have + granted, ask.want - granted
  record.placed = record.placed - dropped_units + confirmed_units
  record.reply = table.concat({text(granted), yes, no, released}, ';')
  local set, dropped = {
    'sv', text(head.sv), 'stocked', text(head.stocked), 'open', text(head.open),
    'leased', text(head.leased), 'unmet', text(head.unmet),
    'g:' .. ask.gateway, record_line(record),
  }, {}
  close_book(book, set, dropped)
  write(key, set, dropped)
  return told(head, record)
end

-- The version is in every name: a gateway calls the functions that it was written for, or none.
redis.register_function({
  function_name = LIBRARY .. '_status', callback = status, flags = {'no-writes'},
})
redis.register_function(LIBRARY .. '_begin', begin)
redis.register_function(LIBRARY .. '_part', part)
redis.register_function(LIBRARY .. '_declare', declare)
redis.register_function(LIBRARY .. '_resume', resume)
redis.register_function(LIBRARY .. '_lease', lease)
