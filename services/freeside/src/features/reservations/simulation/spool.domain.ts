import type { Process } from './agenda.domain.ts';
import type { Broker } from './broker.domain.ts';
import type { Fact, Report, Run } from './facts.domain.ts';
import type { TokenCount } from '@arrakis/money';
import type { World } from './world.domain.ts';

/** A stream in the journal. */
export interface SpoolEntry {
  readonly fact: Fact;
  readonly run: Run;
  readonly promptTokens: number;
  /** What a `kill -9` leaves of its progress. */
  completionTokens: number;
}

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 10_000;

/** finn's journal, and the publishing of what it holds. Its maps are the disk: they outlive finn. */
export class Spool {
  readonly #world: World;
  readonly #process: Process;
  readonly #broker: Broker;
  readonly #open = new Set<SpoolEntry>();
  readonly #pending = new Set<Report>();

  constructor(world: World, process: Process, broker: Broker) {
    this.#world = world;
    this.#process = process;
    this.#broker = broker;
  }

  isMetering(fact: Fact): boolean {
    for (const entry of this.#open) if (entry.fact === fact) return true;
    return false;
  }

  begin(fact: Fact, run: Run, promptTokens: number): SpoolEntry {
    const entry: SpoolEntry = { fact, run, promptTokens, completionTokens: 0 };
    this.#open.add(entry);
    run.isJournaled = true;
    return entry;
  }

  progress(entry: SpoolEntry, completionTokens: number): void {
    entry.completionTokens = Math.max(entry.completionTokens, completionTokens);
  }

  abandon(entry: SpoolEntry): void {
    this.#open.delete(entry);
    entry.run.isJournaled = false;
  }

  finish(entry: SpoolEntry, count: TokenCount): void {
    this.#end(entry, count, 'usage_event');
  }

  /** What the process finds when it starts again. */
  recover(isDiskLost: boolean): void {
    if (isDiskLost) {
      for (const { run } of this.#open) {
        run.report = undefined;
        run.isJournaled = false;
      }
      for (const report of this.#pending) report.lostBy ??= 'loss of the journal';
      this.#open.clear();
      this.#pending.clear();
      return;
    }
    for (const report of this.#pending) this.#publish(report, FIRST_RETRY_MS);
    for (const entry of this.#open) {
      // Where the journal proves no token, nothing was delivered, and the prompt isn't counted.
      const promptTokens = entry.completionTokens === 0 ? 0 : entry.promptTokens;
      const count = { promptTokens, completionTokens: entry.completionTokens };
      this.#end(entry, count, 'journal');
    }
  }

  #end(entry: SpoolEntry, count: TokenCount, carrier: 'usage_event' | 'journal'): void {
    if (!this.#open.delete(entry)) return;
    const { fact, run } = entry;
    const { reservationId } = fact.request;
    const report: Report = {
      fact,
      input: { reservationId, action: 'settle', carrier, ...count, poolUsed: run.pool },
      isApplied: false,
      lostBy: undefined,
    };
    run.report = report;
    this.#pending.add(report);
    this.#publish(report, FIRST_RETRY_MS);
  }

  #publish(report: Report, retryMs: number): void {
    this.#broker.publish(this.#process, report, (isAcked) => {
      const world = this.#world;
      if (!isAcked) {
        world.after(retryMs, this.#process, 'usage event again', () =>
          this.#publish(report, Math.min(2 * retryMs, MAX_RETRY_MS)),
        );
        return;
      }
      // The acknowledgement is journaled a turn later: a death in between brings the event again.
      world.after(0, this.#process, 'acknowledgement journaled', () =>
        this.#pending.delete(report),
      );
    });
  }
}
