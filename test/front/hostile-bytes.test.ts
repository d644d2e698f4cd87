import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BODY_ATTACKS, type Attack } from './support/body-attacks.ts';
import { BODY, FRAMING_ATTACKS, SMUGGLED } from './support/framing-attacks.ts';
import {
  INFERENCE,
  JSON_TYPE,
  faultOf,
  mebibytes,
  ping,
  pingUntil,
  startFront,
  type Front,
} from './support/front.ts';
import { HEAD_ATTACKS } from './support/head-attacks.ts';
import { RawConnection, exchange, head, parseAnswers, toBytes } from './support/raw-http.ts';

/** What no request of this kind may take, on whatever machine. */
const DEADLINE_MS = 5_000;
/** Of the api's memory: hundreds of bodies of a megabyte went through it by then. */
const GROWTH_BYTES = 600 * 1024 * 1024;

let front: Front;
let residentBefore: number;
beforeAll(async () => {
  front = await startFront();
  await ping(front);
  residentBefore = await front.residentBytes('api');
});
afterAll(async () => {
  await front.stop();
});

async function timed<T>(work: Promise<T>): Promise<T> {
  const startedAtMs = performance.now();
  const result = await work;
  expect(performance.now() - startedAtMs).toBeLessThan(DEADLINE_MS);
  return result;
}

describe('a request whose end is anyone’s guess', () => {
  it.each(FRAMING_ATTACKS)('is refused once, and nothing behind it: %s', async (_what, bytes) => {
    const answers = await timed(exchange(front.apiUrl, bytes(front.authorization)));
    expect(answers.map((answer) => answer.status)).toEqual([400]);
    expect(faultOf(answers[0]!)).toMatchObject({ code: 'invalid_request' });
    expect(answers[0]!.headers.connection).toBe('close');
  });
});

/** Odd, and yet there is one way only to read it. */
describe('a request with a second behind it', () => {
  const last = head('GET /health HTTP/1.1', 'Connection: close');
  const post = (...headers: readonly string[]): string =>
    head(`POST ${INFERENCE} HTTP/1.1`, front.authorization, JSON_TYPE, ...headers);
  const size = BODY.length.toString(16);

  it.each<[string, () => string, readonly number[]]>([
    ['a length with zeros', () => post(`Content-Length: 000${BODY.length}`) + BODY, [404]],
    [
      'a length that isn’t one',
      () => post('Content_Length: 2', `Content-Length: ${BODY.length}`) + BODY,
      [404],
    ],
    [
      'a coding in capitals',
      () => post('Transfer-Encoding: CHUNKED') + `${size}\r\n${BODY}\r\n0\r\n\r\n`,
      [404],
    ],
    [
      'a chunk’s extension',
      () => post('Transfer-Encoding: chunked') + `${size};a="b"\r\n${BODY}\r\n0\r\n\r\n`,
      [404],
    ],
    [
      'a body of GET',
      () => head('GET /health HTTP/1.1', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED,
      [200],
    ],
    [
      'an empty body of GET',
      () => head('GET /health HTTP/1.1', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
      [200],
    ],
    ['two in the same read', () => SMUGGLED + SMUGGLED, [200, 200]],
    ['blank lines before it', () => `\r\n\r\n${SMUGGLED}`, [200]],
    ['TRACE', () => head('TRACE /health HTTP/1.1', front.authorization), [405]],
  ])('keeps it apart: %s', async (_what, bytes, statuses) => {
    const answers = await timed(exchange(front.apiUrl, bytes() + last));
    expect(answers.map((answer) => answer.status)).toEqual([...statuses, 200]);
    expect(answers.map((answer) => answer.body).join('')).not.toContain('lf_live');
  });

  it.each(['h2c', 'websocket', 'TLS/1.3'])(
    'stays in HTTP/1.1 when it asks for %s',
    async (name) => {
      const upgrade = head('GET /health HTTP/1.1', 'Connection: Upgrade', `Upgrade: ${name}`);
      const answers = await timed(exchange(front.apiUrl, upgrade + SMUGGLED));
      expect(answers.map((answer) => answer.status)).toEqual([200]);
      expect(answers[0]?.headers.connection).toBe('close');
    },
  );

  it('gets no tunnel', async () => {
    const connect = head('CONNECT elsewhere:443 HTTP/1.1') + SMUGGLED;
    const answers = await timed(exchange(front.apiUrl, connect));
    expect(answers.map((answer) => answer.status)).toEqual([405]);
  });

  it.each<[string, string]>([
    ['a bad key', 'Authorization: Bearer lf_live_aaaaaaaaaaaa_' + 'b'.repeat(32)],
    ['no key', 'X-No: key'],
  ])('gets one answer when it is refused before its body turns out bad: %s', async (_what, key) => {
    const connection = new RawConnection(front.apiUrl).send(
      head(`POST ${INFERENCE} HTTP/1.1`, key, JSON_TYPE, 'Transfer-Encoding: chunked') +
        '5\r\nabcde',
    );
    await expect.poll(() => connection.text).toContain('401');
    connection.send(`\r\nZZ\r\n${SMUGGLED}`);
    await connection.closed(DEADLINE_MS);
    expect(parseAnswers(connection.text).map((answer) => answer.status)).toEqual([401]);
  });

  it('is cut off when there are thousands behind it, and costs no memory', async () => {
    const before = await front.residentBytes('api');
    const flood = head('GET /docs/static/swagger-ui-bundle.js HTTP/1.1').repeat(2_000);
    const connections = Array.from({ length: 20 }, () => {
      const connection = new RawConnection(front.apiUrl);
      connection.socket.pause();
      return connection.send(flood);
    });
    await ping(front);
    for (const connection of connections) connection.socket.resume();
    await Promise.all(connections.map((connection) => connection.closed(DEADLINE_MS)));
    await timed(ping(front));
    expect((await front.residentBytes('api')) - before).toBeLessThan(GROWTH_BYTES);
  });
});

describe('a head with a trick in it', () => {
  it.each(HEAD_ATTACKS)('%s', async (_what, bytes, status, code, field) => {
    const request = toBytes(bytes(front.authorization));
    const answers = await timed(exchange(front.apiUrl, request));
    expect(answers.map((answer) => answer.status)).toEqual([status]);
    const fault = faultOf(answers[0]!);
    expect(fault.code).toBe(code);
    if (field !== undefined) expect(fault.fields).toContain(field);
  });

  it('says who asks by the key alone, whatever other headers claim', async () => {
    const planted = {
      'x-request-id': '00000000-0000-7000-8000-000000000000',
      'x-wallet-address': '0x00000000000000000000000000000000deadbeef',
      'x-community-id': '00000000-0000-7000-8000-000000000001',
      'x-tier': 'enterprise',
      'x-pool-used': 'flagship',
      'x-forwarded-for': '203.0.113.9',
      'x-forwarded-host': 'elsewhere',
      'x-forwarded-proto': 'https',
      'x-original-url': '/docs',
      'x-rewrite-url': '/docs',
      'x-http-method-override': 'DELETE',
      'x-method-override': 'DELETE',
      forwarded: 'for=203.0.113.9',
      cookie: 'session=planted',
    };
    front.vendor.clear();
    const body = JSON.stringify({ nft_id: 'market-scout', prompt: 'Hi', max_tokens: 16 });
    const [answer] = await exchange(
      front.apiUrl,
      head(
        `POST ${INFERENCE} HTTP/1.1`,
        front.authorization,
        JSON_TYPE,
        `Content-Length: ${body.length}`,
        'Connection: close',
        ...Object.entries(planted).map(([name, value]) => `${name}: ${value}`),
      ) + body,
    );
    expect(answer?.status).toBe(200);
    expect(answer?.headers['x-pool-used']).toBe('cheap');
    const requestId = answer?.headers['x-request-id'] ?? '';
    const { rows } = await front.db.query<{ community_id: string }>(
      'SELECT community_id FROM freeside.budget_reservations WHERE id = $1',
      [requestId],
    );
    expect(rows).toEqual([{ community_id: front.communityId }]);
    // To the vendor goes what finn writes, to the logs what we measure.
    const passedOn = JSON.stringify(front.vendor.requests);
    const logged = [...front.services.api.stdout, ...front.services.finn.stdout].join('\n');
    for (const value of Object.values(planted).filter((one) => one.length > 10)) {
      expect(passedOn).not.toContain(value);
      expect(logged).not.toContain(value);
    }
    expect(Object.keys(front.vendor.requests[0]?.headers ?? {}).join()).not.toMatch(/^x-|cookie/);
  });
});

/** The whole request; the connection ends with its answer. */
function requestOf(path: string, { headers = [JSON_TYPE], bytes }: Attack): Buffer {
  const body = toBytes(bytes);
  const line = `POST ${path} HTTP/1.1`;
  const length = `Content-Length: ${body.length}`;
  const top = head(line, front.authorization, 'Connection: close', length, ...headers);
  return Buffer.concat([toBytes(top), body]);
}

describe('a hostile body', () => {
  it.each(BODY_ATTACKS)('%s', async (_what, path, attack, status, code, field) => {
    const answers = await timed(exchange(front.apiUrl, requestOf(path, attack())));
    expect(answers.map((answer) => answer.status)).toEqual([status]);
    const fault = faultOf(answers[0]!);
    expect(fault.code).toBe(code);
    if (field !== undefined) expect(fault.fields).toContain(field);
  });

  it('may come many at a time, and leaves the api as it was', async () => {
    const requests = BODY_ATTACKS.map(([, path, attack]) => requestOf(path, attack()));
    const over = new AbortController();
    const healthy = pingUntil(front, over.signal);
    await Promise.all(requests.map((request) => exchange(front.apiUrl, request)));
    over.abort();
    const slowestMs = Math.max(...(await healthy));
    const grownBytes = (await front.residentBytes('api')) - residentBefore;
    process.stderr.write(
      `[front] ${requests.length} hostile bodies at once: slowest healthy request ` +
        `${slowestMs.toFixed(0)} ms, api grew by ${mebibytes(grownBytes)} MiB\n`,
    );
    expect(slowestMs).toBeLessThan(DEADLINE_MS);
    expect(grownBytes).toBeLessThan(GROWTH_BYTES);
  });
});

it('nothing of all this was held, dispatched or answered with a failure of ours', async () => {
  expect(await front.reservations()).toEqual({ finalized: 1 });
  expect(front.vendor.requests).toHaveLength(1);
  const failures = front.services.api
    .logs()
    .filter(({ level, status }) => level === 'error' || Number(status) >= 500);
  expect(failures).toEqual([]);
});
