-- Buyers at the button: each request is one buyer's order with a key of its own.
--
-- Arguments: a file of bearer tokens, one a line; the first line to use and how many; the number of wrk's threads; a word that
-- makes this run's keys its own; `once` or `cycle`: a refused buyer may come again, a buyer with an order may not,
-- since the same key would be shown that order instead of placing one; and, where given, the milliseconds between an answer
-- and the next request of its connection.

local report = require("report")

local BODY = '{"quantity":1}'

local threads = {}

function setup(thread)
    thread:set("index", #threads)
    table.insert(threads, thread)
end

-- Every request is made before the clock starts, so that wrk spends its time on sockets.
function init(args)
    local tokens, first, count, stride, word = args[1], tonumber(args[2]), tonumber(args[3]), tonumber(args[4]), args[5]
    once, taken, requests, exhausted = args[6] == "once", 0, {}, false
    local pause = tonumber(args[7]) or 0
    -- wrk looks for this function, and asks its timer for each request where there is one.
    if pause > 0 then delay = function() return pause end end
    local head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\nAuthorization: Bearer "
    local tail = "\r\nContent-Type: application/json\r\nContent-Length: " .. #BODY .. "\r\n\r\n" .. BODY
    local line_number = 0
    for line in io.lines(tokens) do
        local place = line_number - first
        if place >= count then break end
        if place >= 0 and place % stride == index then
            table.insert(requests, head .. line .. "\r\nIdempotency-Key: " .. word .. "-" .. place .. tail)
        end
        line_number = line_number + 1
    end
end

function request()
    if taken == #requests then
        taken = 0
        if once then
            exhausted = true
            wrk.thread:stop()
        end
    end
    taken = taken + 1
    return requests[taken]
end

function done(summary, latency)
    for _, thread in ipairs(threads) do
        if thread:get("exhausted") then io.write("tokens ran out\n") end
    end
    report(summary, latency)
end
