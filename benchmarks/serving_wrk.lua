-- Distinct bodies, one after the other; each thread begins at another place.
local bodies, place = {}, 0
for line in io.lines(os.getenv("BENCHMARK_BODIES")) do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local token = os.getenv("BENCHMARK_TOKEN")
if token then wrk.headers["Authorization"] = "Bearer " .. token end
function request()
  place = place % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[place])
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
