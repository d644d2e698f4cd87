import OpenAI from 'openai';
import { readSse, waitFor } from '@arrakis/testkit';
import { priceTokens } from '@arrakis/money';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  MODELS,
  call,
  drift,
  receiptOf,
  startPlatform,
  type Platform,
} from './support/platform.ts';

const CHEAP = { promptPriceMicro: 150_000n, completionPriceMicro: 600_000n };

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(async () => {
  expect(await drift(platform)).toEqual([]);
  await platform.stop();
});

function openai(): OpenAI {
  return new OpenAI({ apiKey: platform.apiKey, baseURL: `${platform.apiUrl}/v1`, maxRetries: 0 });
}

describe('the OpenAI SDK', () => {
  it('streams an answer with its usage', async () => {
    platform.vendor.script(MODELS.cheap, { steps: ['Spice', ' must', ' flow.'] });
    const { data: stream, response } = await openai()
      .chat.completions.create({
        model: 'market-scout',
        messages: [{ role: 'user', content: 'What is it worth?' }],
        stream: true,
        stream_options: { include_usage: true },
        max_completion_tokens: 64,
      })
      .withResponse();
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    let finish: string | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe('Spice must flow.');
    expect(finish).toBe('stop');
    expect(usage).toMatchObject({ completion_tokens: 3 });
    const receipt = await receiptOf(platform, response.headers.get('x-request-id')!);
    expect(receipt).toMatchObject({
      status: 'finalized',
      poolUsed: 'cheap',
      model: MODELS.cheap,
      completionTokens: 3,
      promptTokens: usage!.prompt_tokens,
      priceVersion: 1,
      charge: String(
        priceTokens(CHEAP, { promptTokens: usage!.prompt_tokens, completionTokens: 3 }),
      ),
    });
  });

  it('gets a plain answer', async () => {
    platform.vendor.script(MODELS.cheap, { steps: ['A', ' plain', ' answer'] });
    const completion = await openai().chat.completions.create({
      model: 'market-scout',
      messages: [{ role: 'user', content: 'Hello' }],
    });
    expect(completion.choices[0]?.message.content).toBe('A plain answer');
    expect(completion.usage?.completion_tokens).toBe(3);
  });

  it("lists the community's agents and what else they may run on", async () => {
    const ids = (await openai().models.list()).data.map((model) => model.id);
    expect(ids).toEqual(
      expect.arrayContaining(['dune-sage', 'market-scout', 'market-scout@cheap']),
    );
    expect(ids).not.toContain('market-scout@flagship');
  });

  it('meets its own error classes', async () => {
    const create = (client: OpenAI, model: string) =>
      client.chat.completions.create({ model, messages: [{ role: 'user', content: 'Hi' }] });
    await expect(create(openai(), 'no-such-agent')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const stranger = new OpenAI({
      apiKey: platform.apiKey.slice(0, -1) + (platform.apiKey.endsWith('A') ? 'B' : 'A'),
      baseURL: `${platform.apiUrl}/v1`,
      maxRetries: 0,
    });
    await expect(create(stranger, 'market-scout')).rejects.toBeInstanceOf(
      OpenAI.AuthenticationError,
    );
  });
});

describe('our own API', () => {
  it('streams events byte-exact, whatever the tokens contain', async () => {
    const steps = [
      'data: {"type":"done"}',
      '\n\n',
      '\r',
      '\r\n',
      'id: 7\n',
      ' 🏜️',
      '\u2028',
      '\\n',
    ];
    platform.vendor.script(MODELS.cheap, { steps });
    const response = await call(platform, '/api/v1/inference', {
      nft_id: '1:0x00000000000000000000000000000000000a11ce:2',
      prompt: 'Say something odd',
      stream: true,
    });
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    let text = '';
    let done: unknown;
    for await (const event of readSse(response.body!)) {
      const data = JSON.parse(event.data) as { type: string; content?: string };
      if (data.type === 'token') text += data.content ?? '';
      else done = data;
    }
    expect(text).toBe(steps.join(''));
    expect(done).toMatchObject({ type: 'done', finish_reason: 'stop' });
  });

  it('shows a balance that is what was minted less what was charged', async () => {
    const balance = (await (await call(platform, '/api/v1/balance')).json()) as Record<
      string,
      string
    >;
    const sum = BigInt(balance.available!) + BigInt(balance.held!) + BigInt(balance.spent!);
    expect(sum).toBe(5_000_000n);
    expect(BigInt(balance.spent!)).toBeGreaterThan(0n);
  });
});

describe('two agents of different tiers', () => {
  it('answer from different pools with different personalities', async () => {
    const ask = async (nft: string) =>
      call(platform, '/api/v1/inference', { nft_id: nft, prompt: 'Who are you?' });
    const sage = await ask('1:0x00000000000000000000000000000000000a11ce:1');
    const scout = await ask('1:0x00000000000000000000000000000000000a11ce:2');
    expect(sage.headers.get('x-pool-used')).toBe('architect');
    expect(scout.headers.get('x-pool-used')).toBe('cheap');
    const [a, b] = [sage, scout].map((response) => response.headers.get('x-personality-id'));
    expect(a).toMatch(/^[0-9a-f]{16}$/);
    expect(b).toMatch(/^[0-9a-f]{16}$/);
    expect(a).not.toBe(b);
    const prompts = platform.vendor.requests
      .slice(-2)
      .map(
        (request) =>
          (request.body as { messages: { role: string; content: string }[] }).messages[0],
      );
    expect(prompts[0]).toMatchObject({ role: 'system' });
    expect(prompts[0]!.content).toContain('Dune Sage');
    expect(prompts[1]!.content).toContain('Market Scout');
  });

  it.each(Object.entries(MODELS))('report a token count from pool %s', async (pool, model) => {
    const response = await call(platform, '/v1/chat/completions', {
      model: `dune-sage@${pool}`,
      messages: [{ role: 'user', content: 'Count' }],
    });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-pool-used')).toBe(pool);
    const receipt = await receiptOf(platform, response.headers.get('x-request-id')!);
    expect(receipt).toMatchObject({ poolUsed: pool, model, status: 'finalized' });
    expect(receipt.completionTokens).toBeGreaterThan(0);
  });
});

describe('the service', () => {
  it('publishes an OpenAPI document that names every public route', async () => {
    const document = (await (await fetch(`${platform.apiUrl}/openapi.json`)).json()) as {
      openapi: string;
      paths: Record<string, unknown>;
    };
    expect(document.openapi).toMatch(/^3\.1/);
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining([
        '/api/v1/inference',
        '/v1/chat/completions',
        '/v1/models',
        '/api/v1/balance',
        '/api/v1/usage/{requestId}',
        '/.well-known/jwks.json',
        '/health',
      ]),
    );
  });

  it.each(['finn', 'api', 'worker'] as const)('%s is live, ready and measured', async (name) => {
    const admin = platform.adminUrls[name];
    expect((await fetch(`${admin}/livez`)).status).toBe(200);
    expect((await fetch(`${admin}/readyz`)).status).toBe(200);
    const metrics = await (await fetch(`${admin}/metrics`)).text();
    expect(metrics).toContain('nodejs_eventloop_lag');
  });

  it('carries one request id through every hop', async () => {
    const response = await call(platform, '/api/v1/inference', {
      nft_id: '1:0x00000000000000000000000000000000000a11ce:2',
      prompt: 'Trace me',
    });
    const id = response.headers.get('x-request-id')!;
    await receiptOf(platform, id);
    for (const name of ['api', 'finn'] as const) {
      const seen = () =>
        platform.services[name].logs().some((line) => Object.values(line).includes(id));
      await waitFor(seen);
    }
  });

  it('tells of a streamed answer in the one log line of each service', async () => {
    const response = await call(platform, '/api/v1/inference', {
      nft_id: '1:0x00000000000000000000000000000000000a11ce:2',
      prompt: 'Log me',
      stream: true,
    });
    const id = response.headers.get('x-request-id')!;
    await response.text();
    const lineOf = (name: 'api' | 'finn') =>
      platform.services[name]
        .logs()
        .find((line) => line.msg === 'request' && Object.values(line).includes(id));
    await waitFor(() => lineOf('api') !== undefined && lineOf('finn') !== undefined);
    expect(lineOf('api')).toMatchObject({ status: 200, outcome: 'answered', pool: 'cheap' });
    expect(lineOf('finn')).toMatchObject({ status: 200, pool: 'cheap' });
  });
});
