import { randomUUID } from 'node:crypto';
import { readSse, waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MODEL, startFinn, type TestFinn } from '../../test-support/start-finn.ts';
import { streamAnswer } from '../../test-support/stream-answer.ts';
import { pieces } from '../../test-support/vendor-pieces.ts';
import { loadTokenizer } from '../providers/tokenizer.ts';

let finn: TestFinn;
beforeAll(async () => {
  finn = await startFinn();
});
afterAll(() => finn.close());

const stream = (body: object, claims: Record<string, unknown> = {}) =>
  streamAnswer(finn, body, claims);

describe('a vendor whose deltas are not tokens', () => {
  const text = 'The quick brown fox jumps over the lazy dog. '.repeat(3);
  const characters = Array.from(text);
  const realTokens = loadTokenizer('o200k_base').count(text);

  test.each([
    ['reports no usage', 'omit' as const, realTokens],
    ['reports its usage', { completionTokens: realTokens - 1 }, realTokens - 1],
  ])(
    'sends characters and %s: nothing is cut, the count is of tokens',
    async (_what, usage, expected) => {
      const reservation = randomUUID();
      finn.vendor.script(MODEL, { steps: pieces(characters), usage });
      const answer = await stream(
        { prompt: 'x', max_tokens: realTokens + 2 },
        { budget_reservation_id: reservation },
      );
      expect(answer.text).toBe(text);
      expect(answer.last).toMatchObject({ type: 'done', finish_reason: 'stop' });
      expect(answer.last).toMatchObject({ usage: { completion_tokens: expected } });
      expect(answer.response.trailers).toEqual({ 'x-token-count': String(expected) });
      const ids = answer.raw.slice(0, -1).map((event) => Number(event.id));
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
      expect(ids.at(-1)).toBeGreaterThan(1);
      expect(ids.at(-1)).toBeLessThanOrEqual(realTokens);
      expect(await finn.usageOf(reservation)).toMatchObject({ completion_tokens: expected });
    },
  );

  test('sends characters without end: the cut comes where the tokens are used up', async () => {
    const steps = [...pieces(characters), ...pieces(characters), { stall: true } as const];
    finn.vendor.script(MODEL, { steps });
    const answer = await stream({ prompt: 'x', max_tokens: realTokens });
    expect(answer.last).toMatchObject({ type: 'done', finish_reason: 'length' });
    expect(answer.last).toMatchObject({ usage: { completion_tokens: realTokens } });
    expect(answer.text.startsWith(text.slice(0, -1))).toBe(true);
    expect(answer.text.length).toBeLessThan(text.length + 24);
    await waitFor(() => finn.vendor.requests.at(-1)?.outcome === 'aborted');
  });

  test('sends whole sentences: the ids stay below the tokens, and the end has them all', async () => {
    const sentences = text.split(/(?<=\. )/);
    finn.vendor.script(MODEL, { steps: sentences, usage: 'omit' });
    const answer = await stream({ prompt: 'x', max_tokens: realTokens + 2 });
    expect(answer.text).toBe(text);
    expect(answer.raw.slice(0, -1).map(({ id }) => id)).toEqual(['1', '2', '3']);
    expect(answer.last).toMatchObject({ usage: { completion_tokens: realTokens } });
  });

  test('sends far too much in one piece: as much of it as was asked for is passed on', async () => {
    finn.vendor.script(MODEL, { steps: [text.repeat(20)] });
    const answer = await stream({ prompt: 'x', max_tokens: 10 });
    expect(text.startsWith(answer.text)).toBe(true);
    expect(loadTokenizer('o200k_base').count(answer.text)).toBe(10);
    expect(answer.last).toMatchObject({ finish_reason: 'length' });
  });

  test('is left in the middle: what was delivered is counted, not its deltas', async () => {
    const reservation = randomUUID();
    finn.vendor.script(MODEL, { steps: [...pieces(characters), { stall: true }] });
    const response = await finn.infer(
      { prompt: 'x', stream: true },
      { claims: { budget_reservation_id: reservation } },
    );
    let seen = '';
    for await (const event of readSse(response.body)) {
      seen += (JSON.parse(event.data) as { content: string }).content;
      if (seen === text) break;
    }
    response.body.destroy();
    expect(await finn.usageOf(reservation)).toMatchObject({ completion_tokens: realTokens });
  });
});

test('a vendor that claims more prompt than there was is not believed', async () => {
  finn.vendor.script(MODEL, { usage: { promptTokens: 9_000_000_000_000_000 } });
  const { last } = await stream({ prompt: 'x' });
  const usage = last.type === 'done' ? last.usage : undefined;
  expect(usage?.prompt_tokens).toBeLessThan(2_000);
  expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + 6);
});
