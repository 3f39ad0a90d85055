const config = {
  backends: [
    { name: 'Home server', url: 'https://app-a.example.com', weight: 2 },
    { name: 'office', url: 'https://app-b.example.com' },
    { name: 'cloud', url: `https://${REGION}.example.com` },
    process.env.EXTRA,
  ],
  checkInterval: 60_000,
  requestTimeout: 8000,
};
