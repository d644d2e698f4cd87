import { setTimeout as pause } from 'node:timers/promises';
import type { Stage } from './stage.ts';
import { answer, scriptVendors } from './traffic.ts';

interface Scene {
  /** Of the whole time, when it begins. */
  readonly at: number;
  readonly what: string;
  readonly run: (stage: Stage) => Promise<void>;
}

/** What goes wrong in between, so that the panels have something to show. */
const SCENES: readonly Scene[] = [
  {
    at: 0.2,
    what: 'the model behind reasoning takes three seconds to begin',
    run: async ({ vendor }) => {
      vendor.script('fake-reasoning', answer(2, 3_000));
      await pause(40_000);
      vendor.script('fake-reasoning', answer(2));
    },
  },
  {
    at: 0.36,
    what: 'finn is killed in mid-stream and comes back after eight seconds',
    run: async ({ system }) => {
      await system.process('finn-1').kill('SIGKILL');
      await pause(8_000);
      await system.restart('finn-1');
    },
  },
  {
    at: 0.44,
    what: 'the payment vendor makes no invoices',
    run: ({ shop }) => {
      shop.fail(...Array.from({ length: 8 }, () => ({ kind: 'status', status: 500 }) as const));
      return Promise.resolve();
    },
  },
  {
    at: 0.55,
    what: 'the model behind architect fails; cheaper pools answer for it',
    run: async (stage) => {
      stage.vendor.script('fake-architect', { status: 500 });
      await pause(45_000);
      scriptVendors(stage);
    },
  },
  {
    at: 0.7,
    what: 'the worker is killed and comes back after 25 seconds',
    run: async ({ system }) => {
      await system.process('worker-1').kill('SIGKILL');
      await pause(25_000);
      await system.restart('worker-1');
    },
  },
  {
    at: 0.84,
    what: 'a balance is bent by 250 micro-credits, and mended after half a minute',
    run: async ({ db }) => {
      const bend = (by: number): Promise<unknown> =>
        db.query(
          `UPDATE freeside.accounts SET balance_micro = balance_micro + $1 WHERE kind = 'spent'`,
          [by],
        );
      await bend(250);
      await pause(30_000);
      await bend(-250);
    },
  },
];

/** Plays the scenes, one after the other; resolves at the end of the time. */
export async function playScenes(
  stage: Stage,
  totalMs: number,
  onScene: (line: string) => void,
): Promise<void> {
  const startedAtMs = performance.now();
  const until = (share: number): Promise<void> =>
    pause(Math.max(0, startedAtMs + share * totalMs - performance.now()));
  for (const { at, what, run } of SCENES) {
    await until(at);
    onScene(`minute ${((performance.now() - startedAtMs) / 60_000).toFixed(1)}: ${what}`);
    await run(stage);
  }
  await until(1);
}
