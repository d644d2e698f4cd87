import { readFileSync } from 'node:fs';

/**
 * The members of a community, as a pod beside the platform: so many requests a second whatever the
 * answers do, half of them streamed, and long streams that are open from the beginning. It has the
 * platform's image for its Node and arrives by a ConfigMap, so it imports nothing.
 *
 * Stopped by SIGTERM, it lets what is under way come to its end and prints `RESULT {…}`.
 */

interface Settings {
  readonly url: string;
  readonly keyFile: string;
  readonly model: string;
  readonly requestsPerSecond: number;
  readonly maxTokens: number;
  readonly longStreams: number;
  readonly longModel: string;
  readonly longMaxTokens: number;
}

/** How many failures are told in full. */
const FAILURES_TOLD = 40;
const FIRST_TOKEN = 'data: {';
const END = 'data: [DONE]';

const settings = JSON.parse(process.argv[2] ?? '{}') as Settings;
const key = readFileSync(settings.keyFile, 'utf8').trim();

const counts = { sent: 0, whole: 0, failed: 0 };
const failures: { atMs: number; kind: string; status: number; why: string }[] = [];
const failedSeconds = new Map<number, number>();
const wholeSeconds = new Map<number, number>();
const durationsMs: number[] = [];
const firstTokensMs: number[] = [];
const long = { opened: 0, whole: 0, lastedMs: [] as number[] };
const underWay = new Set<Promise<void>>();
const stopping = new AbortController();

function ask(kind: 'plain' | 'streamed' | 'long'): void {
  counts.sent += 1;
  const call = send(kind).finally(() => underWay.delete(call));
  underWay.add(call);
}

async function send(kind: 'plain' | 'streamed' | 'long'): Promise<void> {
  const beganAtMs = performance.now();
  const isLong = kind === 'long';
  let status = 0;
  let text = '';
  try {
    const response = await fetch(`${settings.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: isLong ? settings.longModel : settings.model,
        messages: [{ role: 'user', content: 'Tell me of the desert.' }],
        max_tokens: isLong ? settings.longMaxTokens : settings.maxTokens,
        stream: kind !== 'plain',
      }),
    });
    status = response.status;
    if (isLong) long.opened += 1;
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      const isFirst = !text.includes(FIRST_TOKEN);
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      if (kind === 'streamed' && isFirst && text.includes(FIRST_TOKEN)) {
        firstTokensMs.push(performance.now() - beganAtMs);
      }
    }
    const isWhole =
      status === 200 && (kind === 'plain' ? text.includes('"usage"') : text.includes(END));
    if (!isWhole) {
      fail(kind, status, text.slice(-300));
      return;
    }
    const lastedMs = performance.now() - beganAtMs;
    if (isLong) {
      long.whole += 1;
      long.lastedMs.push(Math.round(lastedMs));
    } else {
      durationsMs.push(lastedMs);
    }
    counts.whole += 1;
    count(wholeSeconds);
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    fail(kind, status, `${String(cause)} after ${text.length} characters`);
  }
}

function fail(kind: string, status: number, why: string): void {
  counts.failed += 1;
  count(failedSeconds);
  if (failures.length < FAILURES_TOLD) failures.push({ atMs: Date.now(), kind, status, why });
}

function count(seconds: Map<number, number>): void {
  const second = Math.floor(Date.now() / 1000);
  seconds.set(second, (seconds.get(second) ?? 0) + 1);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

process.on('SIGTERM', () => {
  stopping.abort();
});

// A platform that answers nobody is no platform under load.
await send('streamed');
if (failures[0] !== undefined) {
  process.stdout.write(`REFUSED ${failures[0].why}\n`);
  process.exit(1);
}
const beganAtMs = performance.now();
let due = 0;
const intervalMs = 1000 / settings.requestsPerSecond;
for (let i = 0; i < settings.longStreams; i += 1) ask('long');
process.stdout.write('STARTED\n');
while (!stopping.signal.aborted) {
  // By the clock, so that a slow moment is made up for: the load doesn't give way to the platform.
  while (settings.requestsPerSecond > 0 && performance.now() - beganAtMs >= due * intervalMs) {
    ask(due % 2 === 0 ? 'streamed' : 'plain');
    due += 1;
  }
  await new Promise((resolve) => setTimeout(resolve, Math.min(intervalMs, 50)));
}
const seconds = (performance.now() - beganAtMs) / 1000;
await Promise.all(underWay);
process.stdout.write(
  `RESULT ${JSON.stringify({
    ...counts,
    perSecond: Math.round((10 * due) / seconds) / 10,
    seconds: Math.round(seconds),
    durationMs: { p50: percentile(durationsMs, 0.5), p99: percentile(durationsMs, 0.99) },
    firstTokenMs: { p50: percentile(firstTokensMs, 0.5), p99: percentile(firstTokensMs, 0.99) },
    long,
    failures,
    failedSeconds: Object.fromEntries(failedSeconds),
    wholeSeconds: Object.fromEntries(wholeSeconds),
  })}\n`,
);
