const SERVERS: Record<string, string[]> = {
  'chat.example.com': ['https://chat-a.example.com', 'https://chat-b.example.com'],
  'git.example.com': ['https://git-a.example.com'],
  fallback: ['https://static.example.com'],
};
const BACKUP_SERVERS = env.BACKUP.split(',');
const ALLOWED_ORIGINS = ['https://www.example.com'];

const HEALTH_PATH = env.HEALTH_PATH ?? '/health';
const HEALTH_CHECK_INTERVAL = 1000 * env.SECONDS;
