import type { Process } from './agenda.domain.ts';
import type { World } from './world.domain.ts';

/** As `ledger-retries.ts` has it; a test compares them. */
export const RETRY_RULES = { maxAttempts: 20, firstDelayMs: 250, maxDelayMs: 30_000 } as const;

export interface Retry {
  /** Calls back with whether it was done. */
  readonly run: (done: (isDone: boolean) => void) => void;
  readonly onGaveUp: () => void;
}

interface Waiting {
  readonly retry: Retry;
  attempts: number;
}

/** Failed settlements and releases of one process, tried again for some minutes. */
export class Retries {
  readonly #world: World;
  readonly #process: Process;
  #queue: Waiting[] = [];
  #isRunning = false;

  constructor(world: World, process: Process) {
    this.#world = world;
    this.#process = process;
  }

  add(retry: Retry): void {
    this.#queue.push({ retry, attempts: 0 });
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#sleep(RETRY_RULES.firstDelayMs);
  }

  #sleep(delayMs: number): void {
    this.#world.after(delayMs, this.#process, 'retry of settlements', () => this.#tryAll(delayMs));
  }

  #tryAll(delayMs: number): void {
    const batch = this.#queue.splice(0);
    let open = batch.length;
    let failed = 0;
    for (const waiting of batch) {
      waiting.retry.run((isDone) => {
        if (!isDone) {
          failed += 1;
          waiting.attempts += 1;
          if (waiting.attempts < RETRY_RULES.maxAttempts) this.#queue.push(waiting);
          else waiting.retry.onGaveUp();
        }
        open -= 1;
        if (open > 0) return;
        if (this.#queue.length === 0) this.#isRunning = false;
        else this.#sleep(failed > 0 ? longerThan(delayMs) : 0);
      });
    }
  }
}

function longerThan(delayMs: number): number {
  return Math.min(Math.max(delayMs * 2, RETRY_RULES.firstDelayMs), RETRY_RULES.maxDelayMs);
}
