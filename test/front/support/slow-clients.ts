import { INFERENCE, JSON_TYPE } from './front.ts';
import { WEBHOOK } from './notice-attacks.ts';
import { RawConnection, head, parseAnswers } from './raw-http.ts';

/** A client that takes its time, and how it may end. */
export interface SlowClient {
  readonly what: string;
  readonly first: string;
  /** Sent again and again after the first, one at a time. */
  readonly then?: string;
  /** The statuses that it gets before its connection is closed. */
  readonly statuses: readonly number[];
}

const DRIP_MS = 250;

export function slowClients(authorization: string): readonly SlowClient[] {
  const post = (...headers: readonly string[]): string =>
    head(`POST ${INFERENCE} HTTP/1.1`, authorization, JSON_TYPE, ...headers);
  const chunked = post('Transfer-Encoding: chunked');
  const late = [408];
  return [
    { what: 'sends nothing', first: '', statuses: late },
    { what: 'sends blank lines', first: '\r\n', then: '\r\n', statuses: late },
    { what: 'stops within the request line', first: 'GET /hea', statuses: late },
    { what: 'sends no version', first: 'GET /health\r\n', statuses: late },
    { what: 'sends a request line byte by byte', first: 'GET /', then: 'a', statuses: late },
    {
      what: 'sends headers one by one',
      first: 'GET /health HTTP/1.1\r\nHost: t\r\n',
      then: 'X-A: b\r\n',
      statuses: late,
    },
    { what: 'sends no body', first: post('Content-Length: 100'), statuses: late },
    {
      what: 'sends a body byte by byte',
      first: post('Content-Length: 5000'),
      then: ' ',
      statuses: late,
    },
    {
      what: 'sends a notice byte by byte',
      first: head(
        `POST ${WEBHOOK} HTTP/1.1`,
        JSON_TYPE,
        `x-nowpayments-sig: ${'0'.repeat(128)}`,
        'Content-Length: 5000',
      ),
      then: ' ',
      statuses: late,
    },
    { what: 'sends chunks byte by byte', first: chunked, then: '1\r\n \r\n', statuses: late },
    { what: 'stops within a chunk', first: `${chunked}ff\r\n{"nft_id":`, statuses: late },
    {
      what: 'announces a chunk without end',
      first: `${chunked}ffffffffffffffff\r\n `,
      statuses: late,
    },
    {
      what: 'sends a chunk’s extension byte by byte',
      first: `${chunked}5;`,
      then: 'a',
      statuses: late,
    },
    {
      what: 'sends trailers one by one',
      first: `${chunked}0\r\n`,
      then: 'X-A: b\r\n',
      statuses: late,
    },
    {
      what: 'waits to continue and doesn’t',
      first: post('Content-Length: 100', 'Expect: 100-continue'),
      statuses: [100, 408],
    },
    {
      what: 'goes on with a body that was refused',
      first: head(`POST ${INFERENCE} HTTP/1.1`, JSON_TYPE, 'Content-Length: 5000'),
      then: ' ',
      statuses: [401],
    },
    {
      what: 'goes on with a body that nobody asked for',
      first: head('GET /health HTTP/1.1', 'Content-Length: 5000'),
      then: ' ',
      statuses: [200],
    },
  ];
}

export interface SlowEnd {
  readonly what: string;
  readonly statuses: readonly number[];
  readonly expected: readonly number[];
  readonly openMs: number;
}

/** Plays one to its end, which the server has to bring about. */
export async function playSlow(
  url: string,
  client: SlowClient,
  deadlineMs: number,
): Promise<SlowEnd> {
  const connection = new RawConnection(url).send(client.first);
  const { then } = client;
  const timer = then === undefined ? undefined : setInterval(() => connection.send(then), DRIP_MS);
  try {
    const openMs = await connection.closed(deadlineMs);
    const statuses = parseAnswers(connection.text).map(({ status }) => status);
    return { what: client.what, statuses, expected: client.statuses, openMs };
  } finally {
    clearInterval(timer);
    connection.destroy();
  }
}
