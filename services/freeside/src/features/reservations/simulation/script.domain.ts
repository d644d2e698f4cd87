import type { TokenCount } from '@arrakis/money';
import type { Fact } from './facts.domain.ts';
import type { World } from './world.domain.ts';

/** What a provider will say, and how it counts it in the end. */
export interface Script {
  /** By finn's own count, known before the first token. */
  readonly promptTokens: number;
  /** After each piece: the running count, a lower bound, and the real one. */
  readonly pieces: readonly { readonly running: number; readonly real: number }[];
  readonly ending: 'complete' | 'fail' | 'stall';
  readonly final: TokenCount;
}

export function drawScript({ random }: World, { request }: Fact): Script {
  const promptTokens = random.between(1, Math.min(request.promptTokens, 200));
  const pieces: { running: number; real: number }[] = [];
  let running = 0;
  let real = 0;
  for (let i = random.between(0, 3); i > 0; i -= 1) {
    running += random.between(1, 60);
    real = Math.min(request.maxTokens, Math.max(real, running) + random.between(0, 9));
    if (running > request.maxTokens) break;
    pieces.push({ running, real });
  }
  const completionTokens =
    pieces.length === 0 ? 0 : Math.min(request.maxTokens, real + random.between(0, 5));
  return {
    promptTokens,
    pieces,
    ending: random.pick(['complete', 'complete', 'complete', 'complete', 'fail', 'stall']),
    final: {
      promptTokens: random.between(1, Math.min(request.promptTokens, 200)),
      completionTokens,
    },
  };
}
