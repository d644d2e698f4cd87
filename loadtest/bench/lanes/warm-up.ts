import type { Bench } from './lane.ts';

/** Some thousand calls until the last compiler has settled. */
const REQUESTS = 5_000;
const WARM_UP_MS = 3_000;

/** Compilers and caches first: no contestant is measured cold because it happens to be first. */
export async function warmUp(bench: Bench): Promise<void> {
  for (const contestant of bench.contestants) {
    for (const stream of [false, true]) {
      bench.progress(`warming up  ${contestant.name}  ${stream ? 'streams' : 'plain answers'}`);
      const durationMs = WARM_UP_MS * bench.scale;
      await bench.generator.run(
        {
          kind: 'closed',
          target: contestant.target,
          stream,
          tokens: 16,
          paceMs: 0,
          delayMs: [0, 0],
          warmUpMs: durationMs,
          warmUpRequests: REQUESTS * bench.scale,
          durationMs: 1,
          connections: 16,
        },
        contestant.processes,
        0,
      );
    }
  }
}
