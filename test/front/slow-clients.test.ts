import { drift, receiptOf, MODELS } from '../e2e/support/platform.ts';
import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BODY_ATTACKS } from './support/body-attacks.ts';
import { CHAT, INFERENCE, JSON_TYPE, mebibytes, startFront, type Front } from './support/front.ts';
import { quantile } from './support/distribution.ts';
import { RawConnection, head, parseAnswers, toBytes } from './support/raw-http.ts';
import { playSlow, slowClients, type SlowEnd } from './support/slow-clients.ts';

/** Of each kind. */
const SLOW_CLIENTS = 5;
const IDLE_CONNECTIONS = 300;
const IDLE_STREAMS = 500;
const STALLED_READERS = 3;
/** As chunks of OpenAI's more megabytes than the sockets on the way take for a reader that stalls. */
const STALLED_TOKENS = 32_000;
const CHUNK_BYTES = 260;
/** 15 s for a request and 30 s for a reader, and as much again for a busy machine. */
const DEADLINE_MS = 90_000;
const HEALTHY_CEILING_MS = 15_000;
/** What a stream that waits may take in a process, and all of it together in the api. */
const STREAM_BYTES = 256 * 1024;
const GROWTH_BYTES = 400 * 1024 * 1024;

/** Each chunk repeats it. */
const LONG_MODEL = '1:0x00000000000000000000000000000000000a11ce:1@cheap';

let front: Front;
beforeAll(async () => {
  const env = {
    // The streams here wait for the test, not for a vendor.
    finn: { PROVIDER_IDLE_TIMEOUT_MS: '120000', PROVIDER_TOTAL_TIMEOUT_MS: '120000' },
    api: { FINN_IDLE_TIMEOUT_MS: '120000', FINN_TOTAL_TIMEOUT_MS: '120000' },
  };
  front = await startFront(env);
});
afterAll(async () => {
  await front.stop();
});

/** Sent over a connection of its own, kept open. */
function ask(path: string, body: object): RawConnection {
  const text = JSON.stringify({ ...body, stream: true });
  const length = `Content-Length: ${text.length}`;
  const top = head(`POST ${path} HTTP/1.1`, front.authorization, JSON_TYPE, length);
  return new RawConnection(front.apiUrl).send(top + text);
}

const openStream = (): RawConnection =>
  ask(INFERENCE, { nft_id: 'dune-sage', pool: 'standard', prompt: 'Hi', max_tokens: 16 });

/** What a customer does, as a customer does it. */
async function answered(): Promise<number> {
  const startedAtMs = performance.now();
  const response = await fetch(front.apiUrl + INFERENCE, {
    method: 'POST',
    headers: { authorization: `Bearer ${front.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ nft_id: 'dune-sage', pool: 'reasoning', prompt: 'Hi', max_tokens: 16 }),
  });
  expect(await response.text()).toContain('Hello');
  expect(response.status).toBe(200);
  return performance.now() - startedAtMs;
}

async function answeredUntil(over: AbortSignal): Promise<number[]> {
  const durationsMs: number[] = [];
  while (!over.aborted) durationsMs.push(await answered());
  return durationsMs;
}

describe('while everybody else misbehaves at once', () => {
  const quietMs: number[] = [];
  let busyMs: readonly number[];
  let slowEnds: readonly SlowEnd[];
  const before = { api: 0, finn: 0 };
  const withStreams = { api: 0, finn: 0 };
  const atWorst = { api: 0, finn: 0 };
  const streams: RawConnection[] = [];
  const stalled: RawConnection[] = [];

  async function measure(into: { api: number; finn: number }): Promise<void> {
    for (const service of ['api', 'finn'] as const) {
      into[service] = Math.max(into[service], await front.residentBytes(service));
    }
  }

  async function openStreams(): Promise<void> {
    front.vendor.script(MODELS.standard, { steps: ['a', { hold: true }, 'b'] });
    streams.push(...Array.from({ length: IDLE_STREAMS }, openStream));
    await waitFor(() => front.vendor.holding === IDLE_STREAMS, { timeoutMs: DEADLINE_MS });
    await measure(withStreams);
  }

  async function stallReaders(): Promise<void> {
    const steps = Array.from({ length: STALLED_TOKENS }, () => ' a');
    front.vendor.script(MODELS.cheap, { steps });
    const messages = [{ role: 'user', content: 'Hi' }];
    for (let index = 0; index < STALLED_READERS; index += 1) {
      const connection = ask(CHAT, { model: LONG_MODEL, messages, max_tokens: STALLED_TOKENS + 1 });
      connection.socket.once('data', () => connection.socket.pause());
      stalled.push(connection);
    }
    const began = (): boolean => stalled.every(({ bytesReceived }) => bytesReceived > 0);
    await waitFor(began, { timeoutMs: DEADLINE_MS });
  }

  /** Uploads that end in the middle, and hostile bodies, until everything else is over. */
  async function pester(over: AbortSignal): Promise<void> {
    for (let round = 0; !over.aborted; round += 1) {
      const [, path, attack] = BODY_ATTACKS[round % BODY_ATTACKS.length]!;
      const { headers = [JSON_TYPE], bytes } = attack();
      const body = toBytes(bytes);
      const line = `POST ${path} HTTP/1.1`;
      const more =
        round % 2 === 0 ? `Content-Length: ${body.length + 99}` : 'Transfer-Encoding: chunked';
      const cut = new RawConnection(front.apiUrl).send(
        head(line, front.authorization, more, ...headers),
      );
      const size = `${(body.length + 99).toString(16)}\r\n`;
      cut.send(Buffer.concat([toBytes(round % 2 === 0 ? '' : size), body]));
      await new Promise((resolve) => setImmediate(resolve));
      cut.destroy();
      const bad = await fetch(`${front.apiUrl}/api/v1/balance`, {
        headers: { authorization: `Bearer lf_live_${'a'.repeat(12)}_${'b'.repeat(32)}` },
      });
      expect([401, 429]).toContain(bad.status);
    }
  }

  beforeAll(async () => {
    for (let index = 0; index < 20; index += 1) await answered();
    for (let index = 0; index < 100; index += 1) quietMs.push(await answered());
    await measure(before);

    const idle = Array.from({ length: IDLE_CONNECTIONS }, () =>
      new RawConnection(front.apiUrl).send(head('GET /health HTTP/1.1')),
    );
    await openStreams();
    await stallReaders();
    const over = new AbortController();
    const healthy = answeredUntil(over.signal);
    const pestering = pester(over.signal);
    const slow = slowClients(front.authorization).flatMap((client) =>
      Array.from({ length: SLOW_CLIENTS }, () => playSlow(front.apiUrl, client, DEADLINE_MS)),
    );
    slowEnds = await Promise.all(slow);
    await measure(atWorst);
    await Promise.all(stalled.map((connection) => resumed(connection)));
    over.abort();
    [busyMs] = await Promise.all([healthy, pestering]);
    await measure(atWorst);
    expect(idle.every(({ text }) => /^keep-alive: timeout=5\r$/im.test(text))).toBe(true);
    for (const connection of idle) connection.destroy();
    report();
  }, 2 * DEADLINE_MS);

  /** Waits for the server to give up on a reader, which only shows when the client reads again. */
  async function resumed(connection: RawConnection): Promise<void> {
    await waitFor(() => isCut(connection), { timeoutMs: DEADLINE_MS });
    connection.socket.resume();
    await connection.closed(DEADLINE_MS);
  }

  function isCut(connection: RawConnection): boolean {
    return lineOf(connection) !== undefined;
  }

  /** The api's one log line of the request, once it has ended. */
  function lineOf(connection: RawConnection): Record<string, unknown> | undefined {
    const id = requestIdOf(connection);
    const line = front.services.api.stdout.find(
      (one) => one.includes(id) && one.includes('"status"'),
    );
    return line === undefined ? undefined : (JSON.parse(line) as Record<string, unknown>);
  }

  function requestIdOf(connection: RawConnection): string {
    return /x-request-id: (\S+)/i.exec(connection.text)?.[1] ?? 'none';
  }

  function report(): void {
    const line = (what: string, values: readonly number[]): string =>
      `${what} p50 ${quantile(values, 0.5).toFixed(1)} p99 ${quantile(values, 0.99).toFixed(1)} ms (${values.length})`;
    const perStream = (service: 'api' | 'finn'): string =>
      ((withStreams[service] - before[service]) / IDLE_STREAMS / 1024).toFixed(0);
    const written = stalled.map((connection) => mebibytes(Number(lineOf(connection)?.bytes)));
    process.stderr.write(
      `[front] healthy answers: ${line('quiet', quietMs)}, ${line('under attack', busyMs)}\n` +
        `[front] ${IDLE_STREAMS} waiting streams: ${perStream('api')} KiB each in the api, ${perStream('finn')} KiB in finn\n` +
        `[front] resident at worst: api ${mebibytes(before.api)} to ${mebibytes(atWorst.api)} MiB, ` +
        `finn ${mebibytes(before.finn)} to ${mebibytes(atWorst.finn)} MiB\n` +
        `[front] of ${mebibytes(STALLED_TOKENS * CHUNK_BYTES)} MiB were written to readers that had stalled: ${written.join(', ')}\n`,
    );
  }

  it('every slow client is told so and cut off in time', () => {
    for (const { what, statuses, expected, openMs } of slowEnds) {
      expect({ what, statuses }).toEqual({ what, statuses: expected });
      expect(openMs).toBeLessThan(DEADLINE_MS);
    }
  });

  it('healthy clients are served', () => {
    expect(busyMs.length).toBeGreaterThan(20);
    expect(quantile(busyMs, 0.99)).toBeLessThan(HEALTHY_CEILING_MS);
  });

  it('memory stays bounded', () => {
    for (const service of ['api', 'finn'] as const) {
      expect(withStreams[service] - before[service]).toBeLessThan(IDLE_STREAMS * STREAM_BYTES);
      expect(atWorst[service] - before[service]).toBeLessThan(GROWTH_BYTES);
    }
  });

  it('a client that doesn’t read is waited for, cut off in time, and pays for what left', async () => {
    for (const connection of stalled) {
      const line = lineOf(connection);
      expect(line).toMatchObject({ status: 200, aborted: true });
      expect(line?.bytes).toBeLessThan(STALLED_TOKENS * CHUNK_BYTES);
      const tokens = connection.text.split('"delta":{"content"').length - 1;
      const receipt = await receiptOf(front, requestIdOf(connection), DEADLINE_MS);
      // Not by the end of finn's answer, which never came as far as the api while it waited.
      expect(receipt).toMatchObject({ status: 'finalized', settledBy: 'usage_event' });
      expect(BigInt(receipt.charge)).toBeLessThanOrEqual(BigInt(receipt.hold));
      expect(receipt.completionTokens).toBeGreaterThanOrEqual(tokens);
    }
  });

  it('streams that waited go on as if nothing had been', async () => {
    front.vendor.release();
    const done = (): boolean => streams.every(({ text }) => text.includes('"type":"done"'));
    await waitFor(done, { timeoutMs: DEADLINE_MS });
    for (const { text } of streams) expect(parseHead(text)).toBe(200);
    const settled = async (): Promise<boolean> => {
      const { finalized = 0, ...open } = await front.reservations();
      return finalized > IDLE_STREAMS && Object.keys(open).length === 0;
    };
    await waitFor(settled, { timeoutMs: DEADLINE_MS });
    expect(await drift(front)).toEqual([]);
    for (const connection of streams) connection.destroy();
  });

  function parseHead(text: string): number | undefined {
    return parseAnswers(`${text.split('\r\n\r\n', 1)[0]}\r\n\r\n`)[0]?.status;
  }
});

describe('a client that leaves', () => {
  it.each<[string, (connection: RawConnection) => void]>([
    ['closes', (connection) => connection.destroy()],
    ['resets', (connection) => connection.socket.resetAndDestroy()],
    ['closes its half', (connection) => connection.socket.end()],
  ])('in the middle of a stream frees what it held: %s', async (_what, leave) => {
    front.vendor.script(MODELS.standard, { steps: ['a', { stall: true }] });
    const connections = Array.from({ length: 20 }, openStream);
    await waitFor(() => connections.every(({ text }) => text.includes('"type":"token"')));
    for (const connection of connections) leave(connection);
    await waitFor(() => front.vendor.concurrent === 0, { timeoutMs: DEADLINE_MS });
    const settled = async (): Promise<boolean> =>
      Object.keys(await front.reservations()).every((status) => status === 'finalized');
    await waitFor(settled, { timeoutMs: DEADLINE_MS });
    expect(await drift(front)).toEqual([]);
  });
});

it('nothing of all this was a failure of ours', () => {
  const failures = front.services.api
    .logs()
    .filter(({ level, status }) => level === 'error' || Number(status) >= 500);
  expect(failures).toEqual([]);
});
