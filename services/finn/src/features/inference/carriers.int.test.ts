import { randomUUID } from 'node:crypto';
import {
  POOLS,
  type InferenceResponse,
  type Pool,
  type Usage,
  type UsageEvent,
} from '@arrakis/contracts';
import { startFakeAnthropic, type FakeAnthropic } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HAS_LOCAL_MODEL, LOCAL_MODEL, LOCAL_MODEL_DIR } from '../../test-support/local-model.ts';
import { MODEL, startFinn, vendorTarget, type TestFinn } from '../../test-support/start-finn.ts';
import { streamAnswer } from '../../test-support/stream-answer.ts';
import type { TargetEntry } from '../pools/pool-file.domain.ts';

/** What each provider is known to answer to; undefined where that is up to a real model. */
interface Case {
  readonly provider: string;
  readonly target: (finn: { vendor: TestFinn['vendor'] }, pool: Pool) => TargetEntry;
  readonly completionTokens: number | undefined;
  readonly skip?: boolean;
}

let anthropic: FakeAnthropic;
beforeAll(async () => {
  anthropic = await startFakeAnthropic({ models: { [MODEL]: {} } });
});
afterAll(() => anthropic.close());

const MAX_TOKENS = 8;
const CASES: readonly Case[] = [
  {
    provider: 'openai-compatible',
    target: ({ vendor }, pool) => vendorTarget(vendor, `o-${pool}`),
    completionTokens: 6,
  },
  {
    provider: 'anthropic',
    target: (_finn, pool) => ({
      name: `a-${pool}`,
      provider: 'anthropic',
      model: MODEL,
      baseUrl: anthropic.baseUrl,
      apiKey: 'env:ANTHROPIC',
    }),
    completionTokens: 6,
  },
  {
    provider: 'canned',
    target: (_finn, pool) => ({ name: `c-${pool}`, provider: 'canned', model: 'canned' }),
    completionTokens: MAX_TOKENS,
  },
  {
    provider: 'local',
    target: () => ({ name: 'local', provider: 'local', model: LOCAL_MODEL }),
    completionTokens: undefined,
    skip: !HAS_LOCAL_MODEL,
  },
];

for (const { provider, target, completionTokens, skip = false } of CASES) {
  describe.skipIf(skip)(`the token count of ${provider}`, () => {
    let finn: TestFinn;
    beforeAll(async () => {
      finn = await startFinn({
        modelDir: LOCAL_MODEL_DIR,
        apiKeys: { 'env:ANTHROPIC': anthropic.apiKey },
        totalTimeoutMs: 30_000,
        idleTimeoutMs: 15_000,
        targets: (vendor) =>
          Object.fromEntries(
            POOLS.map((pool) => [pool, [target({ vendor }, pool)]]),
          ) as unknown as Record<Pool, TargetEntry[]>,
      });
    });
    afterAll(() => finn.close());

    const expectUsage = (usage: Usage): void => {
      expect(usage.prompt_tokens).toBeGreaterThan(0);
      expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
      if (completionTokens === undefined) {
        expect(usage.completion_tokens).toBeGreaterThan(0);
        expect(usage.completion_tokens).toBeLessThanOrEqual(MAX_TOKENS);
      } else {
        expect(usage.completion_tokens).toBe(completionTokens);
      }
    };
    const expectSame = (event: UsageEvent, usage: Usage, pool: Pool): void =>
      expect(event).toMatchObject({
        pool_used: pool,
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        tokens_used: usage.total_tokens,
        finality: 'final',
      });

    test.each(POOLS)(
      'of pool %s is the same in done event, trailer and usage event',
      async (pool) => {
        const reservation = randomUUID();
        const { response, last, raw } = await streamAnswer(
          finn,
          { prompt: 'Who are you?', max_tokens: MAX_TOKENS },
          { tier: 'enterprise', pool, budget_reservation_id: reservation },
        );
        expect(response.headers['x-pool-used']).toBe(pool);
        if (last.type !== 'done') throw new Error(`the stream ended with ${last.type}`);
        expectUsage(last.usage);
        expect(response.trailers).toEqual({
          'x-token-count': String(last.usage.completion_tokens),
        });
        expect(Number(raw.at(-2)?.id)).toBeLessThanOrEqual(last.usage.completion_tokens);
        // OpenAI's protocol tells the prompt's count at the end only: the header is our own then.
        if (provider !== 'openai-compatible') {
          expect(response.headers['x-prompt-tokens']).toBe(String(last.usage.prompt_tokens));
        }
        expectSame(await finn.usageOf(reservation), last.usage, pool);
      },
    );

    test.each(POOLS)('of pool %s is the same in header, body and usage event', async (pool) => {
      const reservation = randomUUID();
      const response = await finn.infer(
        { prompt: 'Who are you?', max_tokens: MAX_TOKENS, stream: false },
        { claims: { tier: 'enterprise', pool, budget_reservation_id: reservation } },
      );
      const { usage } = (await response.body.json()) as InferenceResponse;
      expect(response.headers['x-pool-used']).toBe(pool);
      expectUsage(usage);
      expect(response.headers['x-token-count']).toBe(String(usage.completion_tokens));
      expectSame(await finn.usageOf(reservation), usage, pool);
    });
  });
}
