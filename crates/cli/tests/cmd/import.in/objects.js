const config = {
  backends: [
    { name: 'Home server', url: 'https://app-a.example.com', weight: 2, healthCheckPath: '/up' },
    { name: 'office', url: 'https://app-b.example.com', healthCheckPath: '/status' },
    { name: 'cloud', url: 'https://app-c.example.com', enabled: false },
  ],
  checkInterval: 60_000,
  requestTimeout: 8000,
};
