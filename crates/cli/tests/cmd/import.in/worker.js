// A Worker that sends each request to the first server that is well.
const SERVERS = [
  'https://service-primary.example.com', // the machine at home
  'https://service-replica.example.com',
  // 'https://service-old.example.com',
];

const HEALTH_CHECK_INTERVAL = 30 * 1000; // 30 s
const HEALTH_CHECK_TIMEOUT = 5000;
const HEALTH_PATH = '/health';

let health = SERVERS.map(() => ({ healthy: true, checkedAt: 0 }));

async function check(index) {
  try {
    const response = await fetch(SERVERS[index] + HEALTH_PATH, { signal: AbortSignal.timeout(HEALTH_CHECK_TIMEOUT) });
    health[index] = { healthy: response.ok, checkedAt: Date.now() };
  } catch {
    health[index] = { healthy: false, checkedAt: Date.now() };
  }
}

export default {
  async fetch(request) {
    const url = new URL(request.url);
    const index = Math.max(0, health.findIndex((it) => it.healthy));
    return fetch(new Request(new URL(url.pathname.replace(/[`'"]/g, '') + url.search, SERVERS[index]), request));
  },
};
