import { priceTokens } from '@arrakis/money';
import { USAGE_STREAM } from '@arrakis/contracts';
import { readSse, waitFor } from '@arrakis/testkit';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  MODELS,
  call,
  drift,
  receiptOf,
  startPlatform,
  type Platform,
} from './support/platform.ts';

/** Each process killed in the middle of a stream; the books must come out exact. */

const CHEAP = { promptPriceMicro: 150_000n, completionPriceMicro: 600_000n };
const SCOUT = '1:0x00000000000000000000000000000000000a11ce:2';

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(() => platform.stop());
afterEach(async () => {
  platform.vendor.release();
  expect(await drift(platform)).toEqual([]);
});

interface OpenStream {
  readonly requestId: string;
  readonly tokens: string[];
  /** Resolves when the connection has ended, however. */
  readonly ended: Promise<void>;
  leave(): void;
}

/** A stream that has delivered two tokens and waits for the vendor. */
async function openStream(): Promise<OpenStream> {
  platform.vendor.script(MODELS.cheap, { steps: ['one', ' two', { hold: true }, ' three'] });
  const abort = new AbortController();
  const response = await call(
    platform,
    '/api/v1/inference',
    { nft_id: SCOUT, prompt: 'Count', max_tokens: 50, stream: true },
    { signal: abort.signal },
  );
  expect(response.status).toBe(200);
  const tokens: string[] = [];
  const ended = (async () => {
    try {
      for await (const event of readSse(response.body!)) {
        const data = JSON.parse(event.data) as { type: string; content?: string };
        if (data.type === 'token') tokens.push(data.content ?? '');
      }
    } catch {
      // Cut off, which is what these tests are about.
    }
  })();
  await waitFor(() => tokens.join('') === 'one two');
  return {
    requestId: response.headers.get('x-request-id')!,
    tokens,
    ended,
    leave: () => abort.abort(),
  };
}

/** What two delivered tokens cost, whatever prompt count came with them. */
function expectTwoTokensCharged(receipt: Awaited<ReturnType<typeof receiptOf>>): void {
  expect(receipt.completionTokens).toBe(2);
  const { promptTokens } = receipt;
  expect(promptTokens).toBeGreaterThan(0);
  expect(receipt.charge).toBe(
    String(priceTokens(CHEAP, { promptTokens: promptTokens!, completionTokens: 2 })),
  );
}

async function eventsPending(): Promise<number> {
  const { protocol, host, username, password } = new URL(platform.nats.url);
  const connection = await connect({
    servers: `${protocol}//${host}`,
    user: username,
    pass: password,
  });
  try {
    const manager = await jetstreamManager(connection);
    return (await manager.streams.info(USAGE_STREAM.name)).state.messages;
  } finally {
    await connection.close();
  }
}

describe('in the middle of a stream', () => {
  it('a client that leaves is charged for what it got', async () => {
    const stream = await openStream();
    stream.leave();
    const receipt = await receiptOf(platform, stream.requestId);
    expectTwoTokensCharged(receipt);
    expect(receipt.settledBy).toBe('usage_event');
    const upstream = platform.vendor.requests.at(-1);
    await waitFor(() => upstream?.outcome === 'aborted');
  });

  it('kill -9 of finn: its journal settles to what was delivered when it is back', async () => {
    const stream = await openStream();
    await platform.services.finn.kill('SIGKILL');
    await stream.ended;
    await platform.restart('finn');
    const receipt = await receiptOf(platform, stream.requestId);
    expectTwoTokensCharged(receipt);
    expect(receipt.settledBy).toBe('journal');
  });

  it("kill -9 of the api: finn's usage event settles what was delivered", async () => {
    const stream = await openStream();
    await platform.services.api.kill('SIGKILL');
    await stream.ended;
    await platform.restart('api');
    const receipt = await receiptOf(platform, stream.requestId);
    expectTwoTokensCharged(receipt);
    expect(receipt.settledBy).toBe('usage_event');
  });

  it('kill -9 of the worker: the done event settles, the late usage event changes nothing', async () => {
    const stream = await openStream();
    await platform.services.worker.kill('SIGKILL');
    platform.vendor.release();
    await stream.ended;
    expect(stream.tokens.join('')).toBe('one two three');
    const receipt = await receiptOf(platform, stream.requestId);
    expect(receipt).toMatchObject({ settledBy: 'done_event', completionTokens: 3 });
    await platform.restart('worker');
    await waitFor(async () => (await eventsPending()) === 0);
    expect(await receiptOf(platform, stream.requestId)).toEqual(receipt);
  });

  it('kill -9 of finn, api and worker at once: settled when they are back', async () => {
    const stream = await openStream();
    const { finn, api, worker } = platform.services;
    await Promise.all([finn, api, worker].map((service) => service.kill('SIGKILL')));
    await stream.ended;
    await platform.restart('api');
    await Promise.all([platform.restart('finn'), platform.restart('worker')]);
    expectTwoTokensCharged(await receiptOf(platform, stream.requestId, 20_000));
  });

  it('kill -9 of NATS: another carrier settles, and the event arrives when it is back', async () => {
    const stream = await openStream();
    await platform.nats.kill();
    platform.vendor.release();
    await stream.ended;
    const receipt = await receiptOf(platform, stream.requestId);
    expect(receipt).toMatchObject({ settledBy: 'done_event', completionTokens: 3 });
    await platform.nats.restart();
    const consumed = async () => {
      const metrics = await (await fetch(`${platform.adminUrls.finn}/metrics`)).text();
      return /^finn_usage_pending\{?[^}]*\}? 0$/m.test(metrics) && (await eventsPending()) === 0;
    };
    await waitFor(consumed, { timeoutMs: 30_000 });
    expect(await receiptOf(platform, stream.requestId)).toEqual(receipt);
  });
});

describe('before the first token', () => {
  it('kill -9 of finn: the client gets 503 with Retry-After and nothing is held or charged', async () => {
    platform.vendor.script(MODELS.cheap, { holdHeaders: true });
    const answering = call(platform, '/api/v1/inference', {
      nft_id: SCOUT,
      prompt: 'Never answered',
      stream: true,
    });
    await waitFor(() => platform.vendor.requests.at(-1)?.outcome === 'open');
    await platform.services.finn.kill('SIGKILL');
    const response = await answering;
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    const receipt = await receiptOf(platform, response.headers.get('x-request-id')!);
    expect(receipt).toMatchObject({ status: 'released', charge: '0' });
    await platform.restart('finn');
  });
});
