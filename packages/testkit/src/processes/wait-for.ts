import { setTimeout as pause } from 'node:timers/promises';

export interface WaitOptions {
  /** Default 30 s: only what never comes waits so long. */
  readonly timeoutMs?: number;
  /** Default 10 ms. */
  readonly intervalMs?: number;
  /** What is awaited, for the message of a timeout. */
  readonly what?: string;
}

type Falsy = false | null | undefined | 0 | '' | 0n;

/**
 * Asks again and again until the condition holds, and returns what it returned. An exception
 * counts as "not yet"; the last one is the cause of the timeout's error.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Exclude<Awaited<T>, Falsy>> {
  const { timeoutMs = 30_000, intervalMs = 10, what = condition.toString() } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let cause: unknown;
    try {
      const value = await condition();
      if (value) return value as Exclude<Awaited<T>, Falsy>;
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause });
    }
    await pause(intervalMs);
  }
}
