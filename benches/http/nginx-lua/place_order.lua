-- One order, decided in one step: a buyer buys once, a unit is taken only while there is one, and the order joins the list from
-- which a worker would write it to the database. KEYS: buyers, stock, orders. ARGV: buyer, quantity, idempotency key.
-- Returns the order's number, 0 where the stock is out, -1 where the buyer has an order.

if redis.call("SADD", KEYS[1], ARGV[1]) == 0 then
    return -1
end
if redis.call("DECRBY", KEYS[2], ARGV[2]) < 0 then
    redis.call("INCRBY", KEYS[2], ARGV[2])
    redis.call("SREM", KEYS[1], ARGV[1])
    return 0
end
return redis.call("RPUSH", KEYS[3], ARGV[1] .. ":" .. ARGV[2] .. ":" .. ARGV[3])
