import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startFakeOpenAI, waitFor, type FakeOpenAI, type Scenario } from '@arrakis/testkit';
import { afterEach, describe, expect, test } from 'vitest';
import { collectingSink } from './test-support/collecting-sink.ts';
import {
  createOpenAICompatible,
  type OpenAICompatibleOptions,
} from './openai-compatible.client.ts';
import { ProviderError, type Provider, type ProviderRequest } from './provider.ts';

const never = new AbortController().signal;
const request: ProviderRequest = {
  model: 'fake-model',
  messages: [{ role: 'user', content: 'the secret prompt' }],
  maxTokens: 64,
};
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function providerAt(baseUrl: string, options: Partial<OpenAICompatibleOptions> = {}): Provider {
  const provider = createOpenAICompatible({
    baseUrl,
    timeouts: { connectMs: 10_000, idleMs: 60_000, totalMs: 120_000 },
    tokenizer: { count: (text) => text.length },
    ...options,
  });
  cleanups.push(() => provider.close());
  return provider;
}

async function fakeWith(
  scenario: Scenario,
  options: Partial<OpenAICompatibleOptions> = {},
): Promise<{ fake: FakeOpenAI; provider: Provider }> {
  const fake = await startFakeOpenAI({ models: { 'fake-model': scenario } });
  cleanups.push(() => fake.close());
  return { fake, provider: providerAt(fake.baseUrl, { apiKey: fake.apiKey, ...options }) };
}

/** A server that answers every request with these bytes, chunk by chunk. */
async function serverWriting(
  chunks: readonly (string | Buffer)[],
  headers: Record<string, string> = { 'content-type': 'text/event-stream' },
): Promise<Provider> {
  const server = createServer((_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200, headers);
    response.socket?.setNoDelay();
    const write = (index: number): void => {
      const chunk = chunks[index];
      if (chunk === undefined) response.end();
      // The next chunk goes out once this one has left, so that the reader sees them apart.
      else response.write(chunk, () => setImmediate(() => write(index + 1)));
    };
    write(0);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return providerAt(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/v1`);
}

/** The vendor sees us leave, and well before an idle timeout could be the reason. */
async function aborted(fake: FakeOpenAI): Promise<void> {
  await waitFor(() => fake.requests[0]?.outcome === 'aborted', { timeoutMs: 10_000 });
}

async function failureOf(answer: Promise<unknown>): Promise<ProviderError> {
  const error: unknown = await answer.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ProviderError);
  return error as ProviderError;
}

const content = (text: string): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text } }] })}\n\n`;
const STOP = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
const DONE = 'data: [DONE]\n\n';

describe('an answer', () => {
  test('is streamed with the vendor’s own counts', async () => {
    const { fake, provider } = await fakeWith({ usage: { promptTokens: 11, completionTokens: 9 } });
    const sink = collectingSink();
    const result = await provider.complete(request, sink, never);
    expect(sink.text).toBe('Hello from a fake model.');
    expect(sink.deltas).toHaveLength(6);
    expect(result).toEqual({
      usage: { promptTokens: 11, completionTokens: 9 },
      finishReason: 'stop',
    });
    expect(fake.requests[0]?.body).toEqual({
      model: 'fake-model',
      messages: request.messages,
      max_tokens: 64,
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  test('may be bounded in the words of newer models', async () => {
    const { fake, provider } = await fakeWith({}, { maxTokensField: 'max_completion_tokens' });
    const sink = collectingSink();
    const result = await provider.complete({ ...request, maxTokens: 2 }, sink, never);
    expect(fake.requests[0]?.body).toMatchObject({ max_completion_tokens: 2 });
    expect(fake.requests[0]?.body).not.toHaveProperty('max_tokens');
    expect(result.finishReason).toBe('length');
  });

  test('may come without usage', async () => {
    const { provider } = await fakeWith({ usage: 'omit' });
    const result = await provider.complete(request, collectingSink(), never);
    expect(result).toEqual({ usage: undefined, finishReason: 'stop' });
  });

  test('arrives byte-exact however the network cuts it', async () => {
    const text = 'tree 🌳 \r\n\n data: [DONE] é中\u0000\\ "end"';
    const bytes = Buffer.from(`: OPENROUTER PROCESSING\r\n\r\n${content(text)}${STOP}${DONE}`);
    const single = [...bytes].map((byte) => Buffer.from([byte]));
    const provider = await serverWriting(single);
    const sink = collectingSink();
    await provider.complete(request, sink, never);
    expect(sink.text).toBe(text);
  });

  test('is read with any line ends, role-only deltas, comments and usage in its last chunk', async () => {
    const last = {
      choices: [{ index: 0, delta: { content: '!' }, finish_reason: 'length' }],
      usage: { prompt_tokens: 3, completion_tokens: 2 },
    };
    const provider = await serverWriting([
      'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}\r\n\r\n',
      ': keep-alive\r\n\r\n',
      'event: message\r\ndata: {"choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null}\r',
      '\n\r\n',
      `data: ${JSON.stringify(last)}\r\n\r\n`,
      'data: [DONE]\r\n\r\n',
    ]);
    const sink = collectingSink();
    const result = await provider.complete(request, sink, never);
    expect(sink.text).toBe('hi!');
    expect(result).toEqual({
      usage: { promptTokens: 3, completionTokens: 2 },
      finishReason: 'length',
    });
  });

  test('is complete with a finish reason even if the vendor forgets [DONE]', async () => {
    const provider = await serverWriting([content('hi'), STOP]);
    const result = await provider.complete(request, collectingSink(), never);
    expect(result.finishReason).toBe('stop');
  });

  test('ends for us at [DONE], although the vendor keeps the connection open', async () => {
    const { provider } = await fakeWith({
      steps: ['hi', { raw: `${STOP}${DONE}` }, { stall: true }],
    });
    const result = await provider.complete(request, collectingSink(), never);
    expect(result.finishReason).toBe('stop');
  });

  test.each(['content_filter', 'tool_calls', 'eos'])(
    'that ended with %s has ended',
    async (why) => {
      const provider = await serverWriting([STOP.replace('"stop"', `"${why}"`), DONE]);
      const result = await provider.complete(request, collectingSink(), never);
      expect(result.finishReason).toBe('stop');
    },
  );
});

describe('a failure', () => {
  test.each([
    [{ status: 400 }, 'rejected'],
    [{ status: 401 }, 'unauthorized'],
    [{ status: 403 }, 'unauthorized'],
    [{ status: 422 }, 'rejected'],
    [{ status: 500 }, 'server_error'],
    [{ status: 529 }, 'server_error'],
    [{ steps: ['a', { streamError: 'the secret prompt' }] }, 'server_error'],
    [{ steps: ['a', { cut: true }] }, 'protocol_error'],
    [{ steps: ['a', { raw: 'data: {"choices":\n\n' }] }, 'protocol_error'],
  ] as const)('%j is %s and repeats nothing of what the vendor said', async (scenario, code) => {
    const { fake, provider } = await fakeWith({
      ...scenario,
      errorMessage: 'you wrote: the secret prompt',
    });
    const error = await failureOf(provider.complete(request, collectingSink(), never));
    expect(error.code).toBe(code);
    const shown = `${error.message} ${String(error.cause)} ${JSON.stringify(error)}`;
    for (const secret of ['secret', fake.apiKey]) expect(shown).not.toContain(secret);
  });

  test('of being too fast says when to come again', async () => {
    const { provider } = await fakeWith({ status: 429, retryAfterSeconds: 3 });
    const error = await failureOf(provider.complete(request, collectingSink(), never));
    expect(error).toMatchObject({ code: 'rate_limited', retryAfterMs: 3000 });
  });

  test.each([
    ['nothing but text', [content('hi')]],
    ['no event at all', ['\n']],
    ['an event without its blank line', [content('hi'), STOP.trimEnd()]],
  ])('is a stream that ends with %s: a cut is no success', async (_name, chunks) => {
    const provider = await serverWriting(chunks);
    const error = await failureOf(provider.complete(request, collectingSink(), never));
    expect(error.code).toBe('protocol_error');
  });

  test('is an error object with the status of the vendor behind the vendor', async () => {
    const provider = await serverWriting(['data: {"error":{"code":429,"message":"no"}}\n\n']);
    const error = await failureOf(provider.complete(request, collectingSink(), never));
    expect(error.code).toBe('rate_limited');
  });

  test('is an answer that is no event stream', async () => {
    const provider = await serverWriting(['{}'], { 'content-type': 'application/json' });
    const error = await failureOf(provider.complete(request, collectingSink(), never));
    expect(error.code).toBe('protocol_error');
  });

  test('is an event that never ends', async () => {
    const provider = await serverWriting([
      'data: "',
      ...Array<string>(20).fill('x'.repeat(65_536)),
    ]);
    const error = await failureOf(provider.complete(request, collectingSink(), never));
    expect(error.code).toBe('protocol_error');
  });

  test('is a closed port', async () => {
    const error = await failureOf(
      providerAt('http://127.0.0.1:1/v1').complete(request, collectingSink(), never),
    );
    expect(error.code).toBe('connect_failed');
  });

  test('is silence before the headers, and silence in the middle', async () => {
    const timeouts = { connectMs: 10_000, idleMs: 300, totalMs: 60_000 };
    for (const scenario of [{ holdHeaders: true }, { steps: ['a', { stall: true }] }] as const) {
      const { provider } = await fakeWith(scenario, { timeouts });
      const error = await failureOf(provider.complete(request, collectingSink(), never));
      expect(error.code).toBe('timeout');
    }
  });

  test('is an answer that takes too long although it never falls silent', async () => {
    const timeouts = { connectMs: 10_000, idleMs: 5000, totalMs: 300 };
    const steps = Array.from({ length: 200 }, () => [{ waitMs: 20 }, 'x'] as const).flat();
    const { fake, provider } = await fakeWith({ steps }, { timeouts });
    const error = await failureOf(
      provider.complete({ ...request, maxTokens: 500 }, collectingSink(), never),
    );
    expect(error.code).toBe('timeout');
    await aborted(fake);
  });

  test('of the sink is thrown on, and ends the request', async () => {
    const { fake, provider } = await fakeWith({ steps: ['a', { stall: true }] });
    const sink = collectingSink({
      onText: () => {
        throw new Error('socket gone');
      },
    });
    await expect(provider.complete(request, sink, never)).rejects.toThrow('socket gone');
    await aborted(fake);
  });
});

describe('an abort', () => {
  test('ends the vendor’s request at once, and nothing comes after it', async () => {
    const { fake, provider } = await fakeWith({ steps: ['a', 'b', { stall: true }] });
    const left = new AbortController();
    const sink = collectingSink();
    const answer = provider.complete(request, sink, left.signal);
    await waitFor(() => sink.tokens === 2);
    left.abort(new Error('caller left'));
    await expect(answer).rejects.toThrow('caller left');
    await aborted(fake);
    expect(sink.text).toBe('ab');
  });

  test('before the headers ends it too', async () => {
    const { fake, provider } = await fakeWith({ holdHeaders: true });
    const left = new AbortController();
    const answer = provider.complete(request, collectingSink(), left.signal);
    await waitFor(() => fake.holding === 1);
    left.abort(new Error('caller left'));
    await expect(answer).rejects.toThrow('caller left');
    await aborted(fake);
  });

  test('before the call makes no request', async () => {
    const { fake, provider } = await fakeWith({});
    const answer = provider.complete(request, collectingSink(), AbortSignal.abort(new Error('no')));
    await expect(answer).rejects.toThrow('no');
    expect(fake.requests).toHaveLength(0);
  });
});

test('a slow reader stops the vendor, and gets everything in the end', async () => {
  const block = 'x'.repeat(16_384);
  const { fake, provider } = await fakeWith({ steps: Array<string>(1000).fill(block) });
  const sink = collectingSink({ pauseAt: 1 });
  const answer = provider.complete({ ...request, maxTokens: 2000 }, sink, never);
  await sink.paused;
  // The vendor's writes stop once the buffers between us are full.
  let sent = -1;
  await waitFor(
    () => {
      const settled = sent > 0 && fake.requests[0]?.chunksSent === sent;
      sent = fake.requests[0]?.chunksSent ?? 0;
      return settled;
    },
    { intervalMs: 200 },
  );
  expect(sent).toBeLessThan(1000);
  expect(sink.tokens).toBeLessThan(50);
  sink.resume();
  await answer;
  expect(sink.text.length).toBe(1000 * block.length);
});

test('connections are used again, also after an error status', async () => {
  const { fake, provider } = await fakeWith({});
  fake.script('fake-model', { status: 500 }, {}, {});
  await failureOf(provider.complete(request, collectingSink(), never));
  await provider.complete(request, collectingSink(), never);
  await provider.complete(request, collectingSink(), never);
  expect(fake.requests.map(({ outcome }) => outcome)).toEqual(Array(3).fill('completed'));
});

test('a probe tells a wrong key and a closed port from a target that answers', async () => {
  const { fake, provider } = await fakeWith({});
  await expect(provider.probe('fake-model', never)).resolves.toBeUndefined();
  const wrongKey = providerAt(fake.baseUrl, { apiKey: 'sk-wrong' });
  expect((await failureOf(wrongKey.probe('fake-model', never))).code).toBe('unauthorized');
  const closed = providerAt('http://127.0.0.1:1/v1');
  expect((await failureOf(closed.probe('fake-model', never))).code).toBe('connect_failed');
});

test.each([
  [403, 'a key that may complete but not list'],
  [404, 'a server without such a list'],
  [429, 'a vendor that limits lists'],
])('a probe that gets %i is answered: %s', async (status) => {
  const { url, paths } = await serverAnswering(status);
  await expect(providerAt(url).probe('fake-model', never)).resolves.toBeUndefined();
  expect(paths).toEqual(['GET /models']);
});

test('a probe that gets 500 is not', async () => {
  const { url } = await serverAnswering(500);
  const failure = await failureOf(providerAt(url).probe('fake-model', never));
  expect(failure.code).toBe('server_error');
});

async function serverAnswering(status: number): Promise<{ url: string; paths: string[] }> {
  const paths: string[] = [];
  const server = createServer((incoming, response) => {
    paths.push(`${String(incoming.method)} ${String(incoming.url)}`);
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => new Promise((resolve) => server.close(resolve)));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, paths };
}
