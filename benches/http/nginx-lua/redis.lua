-- The least of a Redis client: runs one script by its SHA-1 over a kept connection. Debian packs no Lua client for nginx.

local tcp = ngx.socket.tcp

local function bulk(value)
    return "$" .. #value .. "\r\n" .. value .. "\r\n"
end

local function hex(bytes)
    return (bytes:gsub(".", function(byte) return string.format("%02x", byte:byte()) end))
end

local function command(name, script, keys, arguments)
    local parts = { "*" .. 3 + #keys + #arguments .. "\r\n", bulk(name), bulk(script), bulk(tostring(#keys)) }
    for _, key in ipairs(keys) do parts[#parts + 1] = bulk(key) end
    for _, argument in ipairs(arguments) do parts[#parts + 1] = bulk(argument) end
    return parts
end

local function ask(socket, parts)
    local _, fault = socket:send(parts)
    if fault then return nil, fault end
    return socket:receive("*l")
end

-- Returns a function (keys, arguments) that runs `script` and gives the integer it returned, or nil and the fault.
return function(script, address)
    local digest = hex(ngx.sha1_bin(script))
    return function(keys, arguments)
        local socket = tcp()
        local _, fault = socket:connect(address)
        if fault then return nil, fault end
        local line, broken = ask(socket, command("EVALSHA", digest, keys, arguments))
        if line and line:sub(1, 9) == "-NOSCRIPT" then
            line, broken = ask(socket, command("EVAL", script, keys, arguments))
        end
        if not line then return nil, broken end
        socket:setkeepalive()
        if line:byte() ~= 58 then return nil, line end -- 58 is ":", an integer
        return tonumber(line:sub(2))
    end
end
