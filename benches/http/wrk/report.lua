-- Prints one run of wrk as one line of JSON, the last of its output. Statuses above 399 are counted by wrk itself, so that no
-- answer is ever parsed in Lua. Times are microseconds.

return function(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "refused": %d, "failed": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f}\n',
        summary.requests,
        errors.status,
        errors.connect + errors.read + errors.write + errors.timeout,
        summary.duration / 1e6,
        latency:percentile(50),
        latency:percentile(99)
    ))
end
