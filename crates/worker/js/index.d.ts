/** Sets the text of services.yaml. Call it when the entry is loaded. */
export function configure(services: string): void;

/** The Durable Object of shared health. */
export class Monitor {
  constructor(state: unknown, env: unknown);
  fetch(request: Request): Promise<Response>;
  alarm(): Promise<void>;
}

/** The handler of requests and of cron triggers. */
declare const worker: {
  fetch(request: Request, env: unknown, context: unknown): Promise<Response>;
  scheduled(event: unknown, env: unknown, context: unknown): Promise<void>;
};
export default worker;
