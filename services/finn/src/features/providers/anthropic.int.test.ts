import { startFakeAnthropic, waitFor, type FakeAnthropic, type Scenario } from '@arrakis/testkit';
import { afterEach, expect, test } from 'vitest';
import { createAnthropic } from './anthropic.client.ts';
import { collectingSink } from './test-support/collecting-sink.ts';
import type { Provider, ProviderRequest } from './provider.ts';

const never = new AbortController().signal;
const request: ProviderRequest = {
  model: 'claude',
  messages: [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hello' },
    { role: 'user', content: 'again' },
  ],
  maxTokens: 64,
};
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function fakeWith(scenario: Scenario): Promise<{ fake: FakeAnthropic; provider: Provider }> {
  const fake = await startFakeAnthropic({ models: { claude: scenario } });
  cleanups.push(() => fake.close());
  const provider = createAnthropic({
    baseUrl: fake.baseUrl,
    apiKey: fake.apiKey,
    timeouts: { connectMs: 10_000, idleMs: 60_000, totalMs: 120_000 },
    tokenizer: { count: (text) => text.length },
  });
  cleanups.push(() => provider.close());
  return { fake, provider };
}

test('an answer is streamed with the vendor’s counts, from a request it accepts', async () => {
  const { fake, provider } = await fakeWith({ usage: { promptTokens: 8, completionTokens: 6 } });
  const sink = collectingSink();
  const result = await provider.complete(request, sink, never);
  expect(sink.text).toBe('Hello from a fake model.');
  expect(result).toEqual({ usage: { promptTokens: 8, completionTokens: 6 }, finishReason: 'stop' });
  expect(fake.requests[0]?.body).toMatchObject({
    system: 'Be brief.',
    messages: [{ role: 'user', content: 'Hello\n\nagain' }],
  });
});

test('an answer that met max tokens says so', async () => {
  const { provider } = await fakeWith({});
  const result = await provider.complete({ ...request, maxTokens: 2 }, collectingSink(), never);
  expect(result.finishReason).toBe('length');
});

test.each([
  [{ status: 529 }, 'server_error'],
  [{ status: 401 }, 'unauthorized'],
  [{ status: 400 }, 'rejected'],
  [{ steps: ['a', { streamError: 'secret' }] }, 'server_error'],
  [{ steps: ['a', { cut: true }] }, 'protocol_error'],
] as const)('%j fails as %s', async (scenario, code) => {
  const { provider } = await fakeWith({ ...scenario, errorMessage: 'secret' });
  const answer = provider.complete(request, collectingSink(), never);
  await expect(answer).rejects.toMatchObject({ name: 'ProviderError', code });
  await expect(answer).rejects.toThrow(/^(?!.*secret)/);
});

test('an abort ends the vendor’s request', async () => {
  const { fake, provider } = await fakeWith({ steps: ['a', { stall: true }] });
  const left = new AbortController();
  const sink = collectingSink();
  const answer = provider.complete(request, sink, left.signal);
  await waitFor(() => sink.tokens === 1);
  left.abort(new Error('caller left'));
  await expect(answer).rejects.toThrow('caller left');
  await waitFor(() => fake.requests[0]?.outcome === 'aborted', { timeoutMs: 10_000 });
});

test('a probe is answered', async () => {
  const { provider } = await fakeWith({});
  await expect(provider.probe('claude', never)).resolves.toBeUndefined();
});
