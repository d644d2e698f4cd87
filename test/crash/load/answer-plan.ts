import type { Prng } from '../world/prng.ts';

/**
 * How the provider answers one request: `fail-*`, `reset` and `mute` before the head, `stall`,
 * `cut` and `error-event` within the answer, `omit` without its usage. `held` waits for a word of
 * the test; `steady` and `brisk` are for scenarios that need to know how long an answer takes.
 */
const PLAN_NAMES = [
  'well',
  'slow',
  'fail-500',
  'fail-503',
  'fail-429',
  'reset',
  'mute',
  'stall',
  'cut',
  'error-event',
  'omit',
  'held',
  'steady',
  'brisk',
] as const;
export type PlanName = (typeof PLAN_NAMES)[number];

export interface AnswerPlan {
  readonly name: PlanName;
  /** What a whole answer would say; one or several tokens each. */
  readonly pieces: readonly string[];
  /** Before each piece. */
  readonly gapMs: number;
  /** The piece before which `stall`, `cut` and `error-event` happen; there is always one before it. */
  readonly breaksAt: number;
  /** Whether finn has to count it as a failure. */
  readonly fails: boolean;
}

const FAILING: ReadonlySet<PlanName> = new Set([
  'fail-500',
  'fail-503',
  'fail-429',
  'reset',
  'mute',
  'stall',
  'cut',
  'error-event',
]);

/** Of a hundred requests; the rest is answered `well`. */
const SHARES: readonly (readonly [PlanName, number])[] = [
  ['slow', 14],
  ['fail-500', 1],
  ['fail-503', 1],
  ['fail-429', 1],
  ['reset', 0.7],
  ['mute', 0.3],
  ['stall', 0.8],
  ['cut', 3],
  ['error-event', 1.5],
  ['omit', 7],
];

/** Each is one token of the vocabulary that finn counts with, also beside any other of them. */
const WORDS: readonly [string, ...string[]] = [
  ' water',
  ' sand',
  ' desert',
  ' spice',
  ' river',
  ' moon',
  ' stone',
  ' light',
  ' wind',
  ' road',
  ' morning',
  ' window',
  ' garden',
  ' market',
  ' silver',
  ' winter',
  ' summer',
  ' letter',
  ' shadow',
  ' bridge',
  ' story',
  ' music',
  ' paper',
  ' mountain',
  ' forest',
  ' island',
];

export function isPlanName(name: string | undefined): name is PlanName {
  return PLAN_NAMES.some((known) => known === name);
}

/** Drawn from the seed, unless the request asks for one. */
export function drawPlan(prng: Prng, asked: PlanName | undefined): AnswerPlan {
  const name = asked ?? drawName(prng);
  const count = pieceCount(name, prng);
  const pieces = Array.from({ length: count }, () => {
    // Vendors join tokens as they like.
    const words = prng.next() < 0.75 ? 1 : prng.int(2, 3);
    return Array.from({ length: words }, () => prng.pick(WORDS)).join('');
  });
  const breaksAt = prng.int(1, count - 1);
  return { name, pieces, gapMs: gapMs(name, prng), breaksAt, fails: FAILING.has(name) };
}

/** A piece stands for as many tokens as it has words. */
export function tokensOf(pieces: readonly string[]): number {
  return pieces.reduce((sum, piece) => sum + piece.split(' ').length - 1, 0);
}

function drawName(prng: Prng): PlanName {
  let left = prng.next() * 100;
  for (const [name, share] of SHARES) {
    left -= share;
    if (left < 0) return name;
  }
  return 'well';
}

function pieceCount(name: PlanName, prng: Prng): number {
  if (name === 'slow') return prng.int(20, 45);
  if (name === 'steady') return 40;
  return prng.int(3, 12);
}

function gapMs(name: PlanName, prng: Prng): number {
  if (name === 'slow') return prng.int(25, 80);
  if (name === 'steady') return 50;
  return name === 'brisk' ? 0 : prng.int(2, 25);
}
