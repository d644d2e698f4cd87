import type { SettlementAction } from '../settlement.domain.ts';
import { Process } from './agenda.domain.ts';
import type { Delivery } from './broker.domain.ts';
import { isTerminal } from './invariants.domain.ts';
import { Lanes } from './lanes.domain.ts';
import type { Ledger } from './ledger.domain.ts';
import type { Mortal, World } from './world.domain.ts';

const JOB_PERIOD_MS = 15_000;
const ORPHAN_AFTER_MS = 300_000;
const QUIET_AFTER_MS = 120_000;

export interface WorkerOptions {
  /** Sabotage: acknowledges before the settlement has committed. */
  readonly acknowledgesFirst: boolean;
}

/** The usage consumer and the two jobs that end what nobody reported on. */
export class Worker implements Mortal {
  readonly process: Process;
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #acknowledgesFirst: boolean;
  #lanes: Lanes;
  #isArmed = false;

  constructor(world: World, name: string, ledger: Ledger, options: WorkerOptions) {
    this.#world = world;
    this.process = new Process(name);
    this.#ledger = ledger;
    this.#acknowledgesFirst = options.acknowledgesFirst;
    this.#lanes = new Lanes(world, this.process, ledger);
    world.add(this);
  }

  onDeath(): void {
    this.#isArmed = false;
  }

  onStart(): void {
    this.#lanes = new Lanes(this.#world, this.process, this.#ledger);
    this.#isArmed = false;
    this.arm();
  }

  receive(delivery: Delivery): void {
    if (this.#acknowledgesFirst) delivery.ack();
    this.#lanes.settle(delivery.report.input, (result) => {
      if (result === undefined) {
        delivery.nak(Math.min(30_000, 250 * 2 ** Math.min(delivery.tries, 7)));
        return;
      }
      if (result.outcome === 'unknown') {
        this.#world.violation(`${delivery.report.input.reservationId}: parked as unknown`);
      }
      // Committed; a death before the next step brings the event again.
      this.#world.after(0, this.process, 'usage event acknowledged', () => delivery.ack());
    });
  }

  /**
   * Plans the jobs' next run. They run every fifteen seconds; runs that could find nothing are left
   * out, because nothing happens in them.
   */
  arm(): void {
    if (this.#isArmed || !this.process.isUp) return;
    const { nowMs, random } = this.#world;
    const dueMs = this.#earliestDueMs();
    if (dueMs === undefined) return;
    this.#isArmed = true;
    const delayMs = Math.max(0, dueMs - nowMs) + random.between(1, JOB_PERIOD_MS);
    this.#world.after(delayMs, this.process, 'jobs run', () => {
      this.#isArmed = false;
      if (this.#ledger.isReachable(this.process)) {
        for (const [reservationId, action] of this.#candidates()) {
          this.#lanes.settle({ reservationId, action }, () => undefined);
        }
      }
      // Settled meanwhile or not: the next run goes on with the rest.
      this.#world.after(JOB_PERIOD_MS, this.process, 'jobs look again', () => this.arm());
    });
  }

  #earliestDueMs(): number | undefined {
    let earliest: number | undefined;
    for (const reservation of this.#ledger.model.reservations.values()) {
      if (isTerminal(reservation)) continue;
      const { status, createdAtMs, quietSinceMs } = reservation;
      const due =
        status === 'reserved' ? createdAtMs + ORPHAN_AFTER_MS : quietSinceMs + QUIET_AFTER_MS;
      if (earliest === undefined || due < earliest) earliest = due;
    }
    return earliest;
  }

  /** As `store.ts` lists them: what is found here may be settled before the batch decides. */
  #candidates(): [id: string, action: SettlementAction][] {
    const { nowMs } = this.#world;
    const found: [string, SettlementAction][] = [];
    for (const [id, { status, createdAtMs, quietSinceMs }] of this.#ledger.model.reservations) {
      if (status === 'reserved' && createdAtMs < nowMs - ORPHAN_AFTER_MS)
        found.push([id, 'orphan']);
      if (status === 'streaming' && quietSinceMs < nowMs - QUIET_AFTER_MS) {
        found.push([id, 'reconcile']);
      }
    }
    return found;
  }
}
