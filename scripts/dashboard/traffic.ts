import { setTimeout as pause } from 'node:timers/promises';
import { POOLS, type Stage } from './stage.ts';

/** Requests a second; the machine has other work to do. */
const RATE = 5;
const MODELS = [
  'market-scout',
  'dune-sage@cheap',
  'dune-sage@standard',
  'dune-sage@reasoning',
  'dune-sage',
];

/** Sends requests of all kinds until the signal aborts; answers and refusals alike are of interest. */
export async function keepAsking(stage: Stage, signal: AbortSignal): Promise<void> {
  const open = new Set<Promise<void>>();
  for (let index = 0; !signal.aborted; index += 1) {
    const asking: Promise<void> = askOne(stage, index)
      .catch(() => undefined)
      .finally(() => open.delete(asking));
    open.add(asking);
    // Between half and one and a half of the nominal pause.
    await pause((1000 / RATE) * (0.5 + ((index * 7919) % 100) / 100));
  }
  await Promise.all(open);
}

async function askOne(stage: Stage, index: number): Promise<void> {
  const leaves = index % 23 === 0;
  const body = {
    model: MODELS[index % MODELS.length],
    messages: [{ role: 'user', content: 'Tell me about the spice.' }],
    max_tokens: index % 41 === 0 ? 4000 : 64,
    stream: index % 3 !== 0,
  };
  const key = index % 37 === 0 ? `lf_live_aaaaaaaaaaaa_${'0'.repeat(32)}` : stage.apiKey;
  const response = await fetch(`${stage.apiUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(leaves ? 400 : 60_000),
  });
  await response.text();
}

/** How each pool's model answers, from quick and short to slow and long. */
export function scriptVendors(stage: Stage): void {
  for (const [index, pool] of POOLS.entries()) stage.vendor.script(`fake-${pool}`, answer(index));
}

export function answer(slowness: number, headersDelayMs = 40 + 90 * slowness) {
  const words = Array.from({ length: 8 + 4 * slowness }, (_, index) => [
    ` word${index}`,
    { waitMs: 25 + 15 * slowness },
  ]).flat();
  return { headersDelayMs, steps: words };
}
