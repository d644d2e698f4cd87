import { call, startPlatform, type Platform } from '../../e2e/support/platform.ts';
import type { Answer } from './raw-http.ts';

export const INFERENCE = '/api/v1/inference';
export const CHAT = '/v1/chat/completions';
export const JSON_TYPE = 'Content-Type: application/json';
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The whole system, and what its front is looked at by. */
export interface Front extends Platform {
  /** Another good key of the community. */
  createApiKey(): Promise<string>;
  readonly authorization: string;
  /** What the operating system counts for the process. */
  residentBytes(service: 'api' | 'finn'): Promise<number>;
  /** Reservations by status. */
  reservations(): Promise<Readonly<Record<string, number>>>;
}

export async function startFront(env?: Parameters<typeof startPlatform>[0]): Promise<Front> {
  const platform = await startPlatform(env);
  return Object.assign(platform, {
    authorization: `Authorization: Bearer ${platform.apiKey}`,
    async createApiKey() {
      const created = await platform.command(
        'scripts/keys/api-key.ts',
        ...['create', '--community', 'demo', '--user', 'Demo Developer', '--json'],
      );
      return /lf_live_[a-z2-7]{12}_[0-9A-Za-z]{32}/.exec(created)?.[0] ?? '';
    },
    async residentBytes(service: 'api' | 'finn') {
      const metrics = await (await fetch(`${platform.adminUrls[service]}/metrics`)).text();
      const value = /^process_resident_memory_bytes(?:\{[^}]*\})? (\S+)$/m.exec(metrics)?.[1];
      if (value === undefined) throw new Error(`${service} doesn't tell its memory`);
      return Number(value);
    },
    async reservations() {
      const { rows } = await platform.db.query<{ status: string; count: number }>(
        'SELECT status, count(*)::int AS count FROM freeside.budget_reservations GROUP BY status',
      );
      return Object.fromEntries(rows.map((row) => [row.status, row.count]));
    },
  });
}

export interface Fault {
  readonly status: number;
  readonly code: string;
  readonly fields: readonly string[];
}

/** What a refusal says, whichever envelope it wears; throws when it is none of ours. */
export function faultOf(answer: Answer): Fault {
  const isProblem = answer.headers['content-type'] === 'application/problem+json';
  const parsed = JSON.parse(answer.body) as Record<string, unknown>;
  const problem = (isProblem ? parsed : parsed.error) as Record<string, unknown>;
  const code = isProblem ? problem.code : problem.problem;
  const requestId = answer.headers['x-request-id'] ?? '';
  if (typeof code !== 'string' || !UUID_V7.test(requestId)) {
    throw new Error(`not a refusal of ours: ${answer.body}`);
  }
  const errors = (problem.errors ?? []) as { readonly field: string }[];
  return { status: answer.status, code, fields: errors.map(({ field }) => field) };
}

/** A request that costs nothing: whether the api still answers, and how fast. */
export async function ping(front: Front): Promise<void> {
  const response = await call(front, '/api/v1/balance');
  if (response.status !== 200) throw new Error(`the balance is ${response.status}`);
  await response.arrayBuffer();
}

/** Pings one after the other until told to stop; milliseconds of each. */
export async function pingUntil(front: Front, over: AbortSignal): Promise<number[]> {
  const durationsMs: number[] = [];
  while (!over.aborted) {
    const startedAtMs = performance.now();
    await ping(front);
    durationsMs.push(performance.now() - startedAtMs);
  }
  return durationsMs;
}

export function mebibytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(0);
}
