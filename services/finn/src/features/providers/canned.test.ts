import { expect, test } from 'vitest';
import { createCanned } from './canned.ts';
import type { ProviderRequest } from './provider.ts';
import { collectingSink } from './test-support/collecting-sink.ts';

const request: ProviderRequest = {
  model: 'canned',
  messages: [
    { role: 'system', content: 'You are brave.' },
    { role: 'user', content: 'Hello there' },
  ],
  maxTokens: 512,
};
const never = new AbortController().signal;

test('the canned answer says what it is, always the same, one exact token a word', async () => {
  const provider = createCanned({ wordDelayMs: 0 });
  const first = collectingSink();
  const second = collectingSink();
  const result = await provider.complete(request, first, never);
  await provider.complete(request, second, never);
  expect(first.text).toMatch(/^\[canned answer: no model is configured\] /);
  expect(second.text).toBe(first.text);
  expect(result).toEqual({
    usage: { promptTokens: 5, completionTokens: first.tokens },
    finishReason: 'stop',
  });
  expect(provider.countTokens('canned', first.text)).toBe(first.tokens);
});

test('the canned answer stops at max tokens', async () => {
  const sink = collectingSink();
  const result = await createCanned({ wordDelayMs: 0 }).complete(
    { ...request, maxTokens: 3 },
    sink,
    never,
  );
  expect(sink.tokens).toBe(3);
  expect(result).toMatchObject({ usage: { completionTokens: 3 }, finishReason: 'length' });
});

test('the canned answer stops when the caller has left', async () => {
  const left = new AbortController();
  const sink = collectingSink({
    onText: (tokens) => {
      if (tokens === 4) left.abort(new Error('left'));
    },
  });
  const answer = createCanned({ wordDelayMs: 0 }).complete(request, sink, left.signal);
  await expect(answer).rejects.toThrow('left');
  expect(sink.tokens).toBe(4);
});

test('the canned answer waits while the reader is behind', async () => {
  const sink = collectingSink({ pauseAt: 2 });
  const answer = createCanned({ wordDelayMs: 0 }).complete(request, sink, never);
  await sink.paused;
  expect(sink.tokens).toBe(2);
  sink.resume();
  await answer;
  expect(sink.tokens).toBeGreaterThan(2);
});
