-- One buy: check the token, read the quantity, ask Redis, answer. No JSON library: the body is one number, and what is saved here
-- is saved for the peer.

local redis = require("redis")

-- run.py signs the peer's tokens with the same word.
local SECRET = "a word that both sides know"

-- The buyer in a token `<uid>.<HMAC-SHA1 of uid in base64>`, or nil where the token is forged.
local function buyer_of(authorization)
    local dot = authorization and authorization:find(".", 8, true) -- 8 is the first place after "Bearer "
    if not dot then return nil end
    local buyer = authorization:sub(8, dot - 1)
    local expected = ngx.encode_base64(ngx.hmac_sha1(SECRET, buyer), true)
    return authorization:sub(dot + 1) == expected and buyer or nil
end

local function refuse(status, slug)
    ngx.status = status
    ngx.header["Content-Type"] = "application/problem+json"
    ngx.print('{"type":"urn:seckill:', slug, '","status":', status, "}")
end

local function accept(activity, order)
    ngx.status = 202
    ngx.header["Location"] = "/api/v1/orders/" .. order
    local body = '{"id":"' .. order .. '","kind":"flash","activity_id":"' .. activity .. '","status":"awaiting_payment"}'
    ngx.header["Content-Length"] = #body
    ngx.print(body)
end

-- Returns the handler of `POST /api/v1/activities/{id}/orders`.
return function(script_path, address)
    local file = assert(io.open(script_path))
    local place_order = redis(file:read("*a"), address)
    file:close()

    return function()
        local buyer = buyer_of(ngx.var.http_authorization)
        if not buyer then return refuse(401, "unauthenticated") end
        ngx.req.read_body()
        local quantity = (ngx.req.get_body_data() or ""):match('"quantity":%s*(%d+)') or "1"
        local activity = ngx.var.uri:match("^/api/v1/activities/(%d+)/orders$")
        if not activity then return refuse(404, "not-found") end
        local order = place_order(
            { "buyers:" .. activity, "stock:" .. activity, "orders:" .. activity },
            { buyer, quantity, ngx.var.http_idempotency_key or "" }
        )
        if not order then return refuse(503, "unavailable") end
        if order == 0 then return refuse(409, "sold-out") end
        if order < 0 then return refuse(409, "limit-reached") end
        return accept(activity, order)
    end
end
