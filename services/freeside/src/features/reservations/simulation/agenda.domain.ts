/** Something that can die, stop for a while and start again; its memory is its owner's business. */
export class Process {
  readonly name: string;
  isUp = true;
  /** Counts its lives: what an earlier one had planned or awaited never happens. */
  life = 0;
  frozenUntilMs = 0;
  /** Until then it reaches no database. */
  cutOffUntilMs = 0;

  constructor(name: string) {
    this.name = name;
  }
}

interface Entry {
  atMs: number;
  readonly order: number;
  readonly process: Process | undefined;
  readonly life: number;
  readonly label: string;
  readonly run: () => void;
}

/**
 * A virtual clock and what is planned on it. One entry is one step: it runs whole or not at all, and
 * a process may die between any two of its steps.
 */
export class Agenda {
  nowMs: number;
  steps = 0;
  readonly #afterStep: (process: Process | undefined, label: string) => void;
  readonly #heap: Entry[] = [];
  #order = 0;

  constructor(startMs: number, afterStep: (process: Process | undefined, label: string) => void) {
    this.nowMs = startMs;
    this.#afterStep = afterStep;
  }

  /**
   * @param process whose step it is; without one it belongs to the world and always happens
   * @param life in which of its lives: answers belong to the one that asked
   */
  after(
    delayMs: number,
    process: Process | undefined,
    label: string,
    run: () => void,
    life = process?.life ?? 0,
  ): void {
    this.#order += 1;
    this.#push({ atMs: this.nowMs + delayMs, order: this.#order, process, life, label, run });
  }

  /** Takes the next step; false when nothing is planned any more. */
  step(): boolean {
    for (let entry = this.#pop(); entry !== undefined; entry = this.#pop()) {
      const { process, label } = entry;
      if (process !== undefined && process.life !== entry.life) continue;
      if (process !== undefined && process.frozenUntilMs > entry.atMs) {
        // Kept in order: what waited longest comes first when it thaws.
        entry.atMs = process.frozenUntilMs;
        this.#push(entry);
        continue;
      }
      this.nowMs = entry.atMs;
      this.steps += 1;
      entry.run();
      this.#afterStep(process, label);
      return true;
    }
    return false;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(entry, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      let below = heap[child];
      const right = heap[child + 1];
      if (below !== undefined && right !== undefined && isBefore(right, below)) {
        child += 1;
        below = right;
      }
      if (below === undefined || !isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
