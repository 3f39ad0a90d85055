// A failover script as many setups have it: the first server that was healthy at the last check,
// and the other one after an exception or a 5xx.
const SERVERS = ["https://service-primary.example.com", "https://service-replica.example.com"];
const HEALTH_CHECK_PATH = "/health";
const HEALTH_CHECK_INTERVAL = 30 * 1000;
const HEALTH_CHECK_TIMEOUT = 5000;

const health = SERVERS.map(() => ({ healthy: true, checkedAt: 0 }));

async function isHealthy(index) {
  const known = health[index];
  if (Date.now() - known.checkedAt < HEALTH_CHECK_INTERVAL) return known.healthy;
  try {
    const signal = AbortSignal.timeout(HEALTH_CHECK_TIMEOUT);
    const response = await fetch(SERVERS[index] + HEALTH_CHECK_PATH, { signal });
    health[index] = { healthy: response.ok, checkedAt: Date.now() };
  } catch {
    health[index] = { healthy: false, checkedAt: Date.now() };
  }
  return health[index].healthy;
}

async function send(request, index) {
  const url = new URL(request.url);
  const target = new URL(url.pathname + url.search, SERVERS[index]);
  const response = await fetch(new Request(target, request));
  const stamped = new Response(response.body, response);
  stamped.headers.set("X-Served-By", index === 0 ? "primary" : "replica");
  return stamped;
}

export default {
  async fetch(request) {
    const first = (await isHealthy(0)) ? 0 : 1;
    try {
      const response = await send(request, first);
      if (response.status < 500) return response;
    } catch {
      // The other server is tried.
    }
    return send(request, 1 - first);
  },
};
