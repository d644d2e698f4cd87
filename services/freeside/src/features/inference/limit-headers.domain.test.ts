import { expect, it } from 'vitest';
import { formatDuration, limitHeaders, openaiLimitHeaders } from './limit-headers.domain.ts';

const limits = {
  requestsPerMinute: 60,
  requestsRemaining: 59,
  requestsResetAt: 1_800_000_030_500,
  tokensPerDay: 1_000,
  tokensRemaining: 900,
  tokensResetAt: 1_800_003_600_000,
};

it.each([
  [-5, '0ms'],
  [0, '0ms'],
  [12.3, '13ms'],
  [1_000, '1s'],
  [59_001, '1m0s'],
  [360_000, '6m0s'],
  [30_000_000, '8h20m0s'],
])('a wait of %d ms is written %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

it('the state of a key is told under our names', () => {
  expect(limitHeaders(limits)).toEqual({
    'x-ratelimit-limit': '60',
    'x-ratelimit-remaining': '59',
    'x-ratelimit-reset': '1800000031',
    'x-ratelimit-limit-tokens': '1000',
    'x-ratelimit-remaining-tokens': '900',
    'x-ratelimit-reset-tokens': '1800003600',
  });
});

it('and under OpenAI’s, with durations', () => {
  expect(openaiLimitHeaders(limits, 1_800_000_000_000)).toMatchObject({
    'x-ratelimit-reset': '1800000031',
    'x-ratelimit-limit-requests': '60',
    'x-ratelimit-remaining-requests': '59',
    'x-ratelimit-reset-requests': '31s',
    'x-ratelimit-reset-tokens': '1h0m0s',
  });
});
