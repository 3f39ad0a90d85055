const SERVERS = [
  'https://a.example.com',
  'https://b.example.com'