import { readFileSync } from 'node:fs';
import { waitFor } from '@arrakis/testkit';
import type { Pod } from './objects.ts';
import type { Platform } from './platform.ts';
import { restrictedPod } from './pods.ts';
import type { Stage } from './scenario.ts';

const CLIENT = new URL('../pods/load-client.ts', import.meta.url);
/** The longest stream and then some. */
const LAST_STREAM_MS = 200_000;

export interface LoadOptions {
  /** Short metered requests, half of them streamed. */
  readonly requestsPerSecond: number;
  /** Streams that are open from the beginning; none unless said. */
  readonly longStreams?: number;
  /** How long each of those takes, at two seconds a word; 100 unless said. */
  readonly longSeconds?: number;
}

export interface LoadResult {
  readonly sent: number;
  readonly whole: number;
  readonly failed: number;
  /** What was really sent. */
  readonly perSecond: number;
  readonly seconds: number;
  readonly durationMs: { readonly p50: number; readonly p99: number };
  readonly firstTokenMs: { readonly p50: number; readonly p99: number };
  readonly long: {
    readonly opened: number;
    readonly whole: number;
    readonly lastedMs: readonly number[];
  };
  readonly failures: readonly {
    readonly atMs: number;
    readonly kind: string;
    /** 0: no answer at all. */
    readonly status: number;
    readonly why: string;
  }[];
  /** By the second since 1970. */
  readonly failedSeconds: Readonly<Record<string, number>>;
  readonly wholeSeconds: Readonly<Record<string, number>>;
}

export interface Load {
  /** Sends nothing more, waits for what is under way, and tells how it went. */
  stop(): Promise<LoadResult>;
}

/**
 * Starts the members' requests, in a pod beside the platform, and returns when they come. Nothing of it
 * outlives the scenario, however that ends.
 */
export async function startLoad(
  { platform, onEnd }: Pick<Stage, 'platform' | 'onEnd'>,
  options: LoadOptions,
): Promise<Load> {
  const kube = platform.beside;
  const name = `load-${Date.now().toString(36)}`;
  const settings = {
    url: platform.apiUrl,
    keyFile: '/key/api-key',
    model: 'market-scout@cheap',
    maxTokens: 12,
    longStreams: 0,
    longModel: 'dune-sage@reasoning',
    longMaxTokens: Math.round((options.longSeconds ?? 100) / 2),
    ...options,
  };
  await kube.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'load-client' },
    data: { 'load-client.ts': readFileSync(CLIENT, 'utf8') },
  });
  onEnd(() => kube.kubectl(['delete', 'pod', name, '--wait=false', '--ignore-not-found']));
  await kube.apply(
    restrictedPod({
      name,
      labels: { load: '' },
      image: platform.image,
      args: ['/client/load-client.ts', JSON.stringify(settings)],
      mounts: [
        { path: '/client', volume: { configMap: { name: 'load-client' } } },
        { path: '/key', volume: { secret: { secretName: 'member-key' } } },
      ],
    }),
  );
  const logs = () => kube.kubectl(['logs', name, '--tail', '2']);
  await waitFor(async () => /STARTED|REFUSED/.test(await logs()), {
    timeoutMs: 60_000,
    intervalMs: 500,
    what: 'the load begins',
  });
  if ((await logs()).includes('REFUSED')) throw new Error(`the load: ${await logs()}`);
  return {
    stop: async () => {
      // Whether it was told is seen by its end: a second run finds nobody any more to tell.
      await kube.exec([name, '--', 'sh', '-c', 'kill -TERM 1']).catch(() => undefined);
      await waitFor(
        async () =>
          ['Succeeded', 'Failed'].includes((await kube.get<Pod>('pod', name)).status.phase),
        { timeoutMs: LAST_STREAM_MS, intervalMs: 500, what: 'the last stream ends' },
      );
      const result = /^RESULT (\{.*\})$/m.exec(await logs())?.[1];
      if (result === undefined)
        throw new Error(`the load ended badly: ${(await logs()).slice(-500)}`);
      return JSON.parse(result) as LoadResult;
    },
  };
}

/** For the table. */
export function loadFigures(load: LoadResult): string {
  const { sent, failed, perSecond, durationMs, firstTokenMs } = load;
  return (
    `${sent} requests at ${perSecond}/s, ${failed} failed, ` +
    `whole answer p50 ${durationMs.p50} p99 ${durationMs.p99} ms, ` +
    `first token p50 ${firstTokenMs.p50} p99 ${firstTokenMs.p99} ms`
  );
}

/** @throws Error that tells the first failures, and what those who served them said meanwhile. */
export async function mustHaveNoFailures(platform: Platform, load: LoadResult): Promise<void> {
  if (load.failed === 0 && load.long.whole === load.long.opened) return;
  const first = load.failures.slice(0, 5);
  const told = first.map(({ atMs, kind, status, why }) => {
    return `${new Date(atMs).toISOString()} ${kind} ${status}: ${why}`;
  });
  const said = await readLogs(platform, first).catch((error: unknown) => [
    `their logs could not be read: ${String(error)}`,
  ]);
  throw new Error(
    `${load.failed} of ${load.sent} requests failed\n${[...told, ...said].join('\n')}`,
  );
}

const LOGGED_BEFORE_MS = 5_000;
const LOGGED_AFTER_MS = 1_000;
const LOG_LINES = 60;
const BEARS_ON_IT = /"level":"(?:warn|error|fatal)"/;

/** Lines of api and finn about these requests, and their warnings of the seconds before. */
async function readLogs(
  { kube }: Platform,
  failures: LoadResult['failures'],
): Promise<readonly string[]> {
  const ids = failures.flatMap(({ why }) => /"request_id":"([0-9a-f-]{36})"/.exec(why)?.[1] ?? []);
  const selector = 'app.kubernetes.io/component in (freeside-api,finn)';
  const text = await kube.kubectl([
    ...['logs', '-l', selector, '--prefix', '--since=10m', '--tail=-1'],
    ...['--max-log-requests=20', '--all-containers', '--ignore-errors'],
  ]);
  const isNear = (line: string): boolean => {
    const atMs = Date.parse(/"time":"([^"]+)"/.exec(line)?.[1] ?? '');
    return failures.some(
      (one) => atMs > one.atMs - LOGGED_BEFORE_MS && atMs < one.atMs + LOGGED_AFTER_MS,
    );
  };
  return text
    .split('\n')
    .filter(
      (line) => ids.some((id) => line.includes(id)) || (BEARS_ON_IT.test(line) && isNear(line)),
    )
    .slice(0, LOG_LINES);
}
