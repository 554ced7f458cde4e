-- A browser that opens one page and accepts brotli.

done = require("report")

wrk.headers["Accept-Encoding"] = "br"
