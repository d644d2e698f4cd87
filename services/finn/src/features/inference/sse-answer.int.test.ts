import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { usageOf } from '@arrakis/contracts';
import { waitFor } from '@arrakis/testkit';
import { afterEach, expect, test } from 'vitest';
import { SseAnswer } from './sse-answer.ts';

const HEAD = {
  poolUsed: 'cheap',
  personalityId: '0123456789abcdef',
  promptTokens: 7,
  model: 'm',
} as const;

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

/** A client that reads nothing until it is told to, and the answer at the other end. */
async function open(requestLine = 'GET / HTTP/1.1'): Promise<{
  client: Socket;
  answer: SseAnswer;
  response: ServerResponse;
  delivered: () => number;
}> {
  const server = createServer();
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  cleanups.push(() => client.destroy());
  client.pause();
  client.write(`${requestLine}\r\nHost: x\r\n\r\n`);
  const [, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
  let delivered = 0;
  const answer = new SseAnswer(response, () => undefined);
  answer.begin(HEAD, (tokens) => (delivered = tokens));
  return { client, answer, response, delivered: () => delivered };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('asks the model to pause when the caller does not read, and to go on when it does', async () => {
  const { client, answer, delivered } = await open();
  const piece = 'x'.repeat(60 * 1024);
  let written = 0;
  while (answer.write(piece, written + 1) && written < 2000) {
    written += 1;
    await turn();
  }
  expect(written).toBeLessThan(2000);
  expect(delivered()).toBeLessThanOrEqual(written);

  let resumed = false;
  answer.onDrain(() => (resumed = true));
  await turn();
  expect(resumed).toBe(false);
  client.resume();
  await waitFor(() => resumed);
});

test('counts as delivered only what the operating system took', async () => {
  const { client, answer, response, delivered } = await open();
  const piece = 'x'.repeat(60 * 1024);
  let written = 0;
  do {
    written += 1;
    await turn();
  } while (answer.write(piece, written));
  // Far more than any socket buffer: the last of it never left the process.
  for (let extra = 1; extra <= 200; extra += 1) answer.write(piece, written + extra);
  await turn();
  const gone = once(response, 'close');
  client.destroy();
  await gone;
  expect(answer.callerGone.aborted).toBe(true);
  expect(delivered()).toBeGreaterThan(0);
  expect(delivered()).toBeLessThan(written + 200);
  expect(answer.delivered.text.length).toBe(delivered() * piece.length);
  expect(answer.delivered.tokens).toBe(delivered());
  expect(await answer.complete(usageOf(1, 1), 'stop')).toBe(false);
});

test('writes the tokens of one turn at once, and the head with the first of them', async () => {
  const { client, answer, response } = await open();
  client.resume();
  const writes: string[] = [];
  client.on('data', (chunk) => writes.push(String(chunk)));
  answer.write('a', 1);
  answer.write('b', 3);
  expect(response.headersSent).toBe(false);
  await waitFor(() => writes.join('').includes('"b"'));
  expect(writes).toHaveLength(1);
  expect(writes[0]).toContain('HTTP/1.1 200 OK');
  expect(writes[0]).toContain('id: 1\ndata: {"type":"token","content":"a"}\n\nid: 3\n');
});

test('a caller that speaks HTTP/1.0 gets the stream without a trailer', async () => {
  const { client, answer } = await open('GET / HTTP/1.0');
  client.resume();
  let text = '';
  client.on('data', (chunk) => (text += String(chunk)));
  answer.write('a', 1);
  expect(await answer.complete(usageOf(1, 1), 'stop')).toBe(true);
  await waitFor(() => text.includes('"done"'));
  expect(text.toLowerCase()).not.toContain('trailer');
});
