import { setTimeout as pause } from 'node:timers/promises';

/** Between two arrivals the loop sleeps when there is at least that much time. */
const MIN_SLEEP_MS = 1;

/**
 * Starts calls at even distances whatever became of the earlier ones; resolves when all are over.
 * Each is told when it was meant to start, or when it did if the timer was a fraction early.
 */
export async function arrive(
  perSecond: number,
  durationMs: number,
  start: (intendedMs: number) => Promise<unknown>,
): Promise<void> {
  const count = Math.round((perSecond * durationMs) / 1000);
  const beganMs = performance.now();
  const running: Promise<unknown>[] = [];
  let failure: { readonly reason: unknown } | undefined;
  for (let index = 0; index < count; index += 1) {
    const intendedMs = beganMs + (index * 1000) / perSecond;
    const earlyMs = intendedMs - performance.now();
    if (earlyMs >= MIN_SLEEP_MS) await pause(earlyMs);
    if (failure !== undefined) throw failure.reason;
    const call = start(Math.min(intendedMs, performance.now()));
    running.push(call);
    call.catch((reason: unknown) => {
      failure ??= { reason };
    });
  }
  await Promise.all(running);
}
