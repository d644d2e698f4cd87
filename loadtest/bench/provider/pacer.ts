const TICK_MS = 1;

interface Turn {
  readonly everyTicks: number;
  /** False when it was the last time. */
  readonly act: () => boolean;
}

/**
 * Calls many functions at a steady pace with one timer for all. What begins at different times stays
 * apart; a tick that comes late makes up for those that were missed.
 */
export class Pacer {
  readonly #due = new Map<number, Turn[]>();
  #tick = 0;
  #startedAtMs = 0;
  #active = 0;
  #timer: NodeJS.Timeout | undefined;

  /** The first call comes after one period. */
  every(periodMs: number, act: () => boolean): void {
    if (this.#timer === undefined) this.#start();
    this.#active += 1;
    this.#schedule({ everyTicks: Math.max(1, Math.round(periodMs / TICK_MS)), act }, this.#now());
  }

  #start(): void {
    this.#tick = 0;
    this.#startedAtMs = performance.now();
    this.#timer = setInterval(this.#run, TICK_MS);
  }

  #now(): number {
    return Math.floor((performance.now() - this.#startedAtMs) / TICK_MS);
  }

  #schedule(turn: Turn, from: number): void {
    const at = Math.max(from, this.#tick) + turn.everyTicks;
    const others = this.#due.get(at);
    if (others === undefined) this.#due.set(at, [turn]);
    else others.push(turn);
  }

  readonly #run = (): void => {
    const now = this.#now();
    while (this.#tick < now) {
      this.#tick += 1;
      const turns = this.#due.get(this.#tick);
      if (turns === undefined) continue;
      this.#due.delete(this.#tick);
      for (const turn of turns) {
        if (turn.act()) this.#schedule(turn, this.#tick);
        else this.#active -= 1;
      }
    }
    if (this.#active > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  };
}
