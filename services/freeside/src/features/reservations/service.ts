import { isUnavailable, sqlState, violatedConstraint, type Queryable } from '@arrakis/postgres';
import { ProblemError } from '@arrakis/service-kit';
import type { ReservationEvents } from './events.ts';
import { GroupCommit, QueueFullError } from './group-commit.ts';
import { toHoldDecision } from './hold-decision.domain.ts';
import type {
  HoldDecision,
  HoldRequest,
  RelayProgress,
  ReleaseReason,
  Reservations,
  Settlement,
} from './reservation.domain.ts';
import type { HoldVerdict, SettlementInput, SettlementResult } from './settlement.domain.ts';
import {
  applyLedgerBatch,
  countOpenReservations,
  listOrphans,
  listQuietStreams,
  readStandingHold,
} from './store.ts';

type Operation =
  | { readonly kind: 'hold'; readonly hold: HoldRequest }
  | { readonly kind: 'settlement'; readonly settlement: SettlementInput }
  | ProgressNote;
/** While it waits, a newer note of the same reservation takes its place in the queue. */
interface ProgressNote {
  readonly kind: 'progress';
  newest: RelayProgress;
}
type Result =
  | { readonly kind: 'hold'; readonly row: HoldVerdict }
  | { readonly kind: 'settlement'; readonly row: SettlementResult };

export interface ReservationServiceOptions {
  readonly db: Queryable;
  readonly events: ReservationEvents;
  readonly maxBatch?: number;
  readonly maxQueue?: number;
  readonly patienceMs?: number;
}

/** Nothing was applied, and nothing stands in the way of a second try. */
const TRANSIENT_STATES: readonly (string | undefined)[] = ['40001', '40P01'];

const DEFAULTS = { maxBatch: 256, maxQueue: 10_000, patienceMs: 5 } as const;

/** The reservations of one process; see {@link Reservations} for the use cases. */
export class ReservationService implements Reservations {
  readonly #db: Queryable;
  readonly #events: ReservationEvents;
  readonly #commit: GroupCommit<Operation, Result>;
  /** Notes that wait to ride along, at most one a reservation. */
  readonly #waitingNotes = new Map<string, ProgressNote>();

  constructor(options: ReservationServiceOptions) {
    this.#db = options.db;
    this.#events = options.events;
    this.#commit = new GroupCommit({
      apply: (operations) => this.#apply(operations),
      isMemberFault: (error) => !isUnavailable(error),
      isTransient: (error) => TRANSIENT_STATES.includes(sqlState(error)),
      maxBatch: options.maxBatch ?? DEFAULTS.maxBatch,
      maxQueue: options.maxQueue ?? DEFAULTS.maxQueue,
      patienceMs: options.patienceMs ?? DEFAULTS.patienceMs,
      onBatch: (size, durationMs) => this.#events.batchApplied(size, durationMs),
    });
  }

  get waiting(): number {
    return this.#commit.waiting;
  }

  async reserve(request: HoldRequest): Promise<HoldDecision> {
    const result = await this.#submit({ kind: 'hold', hold: request }, true);
    if (result.kind !== 'hold') throw new Error('a hold was answered by a settlement');
    const decision = toHoldDecision(request, result.row);
    this.#events.holdDecided(decision);
    return decision;
  }

  noteProgress(progress: RelayProgress): void {
    const { reservationId } = progress;
    const waiting = this.#waitingNotes.get(reservationId);
    if (waiting !== undefined) {
      waiting.newest = progress;
      return;
    }
    const note: ProgressNote = { kind: 'progress', newest: progress };
    this.#waitingNotes.set(reservationId, note);
    this.#submit(note, false).catch((error: unknown) => {
      this.#forget(note);
      this.#events.progressLost(error);
    });
  }

  async settle(settlement: Settlement): Promise<void> {
    await this.settleNow({ ...settlement, action: 'settle' });
  }

  async release(reservationId: string, reason: ReleaseReason): Promise<void> {
    await this.settleNow({ reservationId, action: 'release' });
    this.#events.holdReleased(reason);
  }

  /** Like {@link settle}, and tells what became of it. */
  async settleNow(settlement: SettlementInput): Promise<SettlementResult> {
    const result = await this.#submit({ kind: 'settlement', settlement }, false);
    if (result.kind !== 'settlement') throw new Error('a settlement was answered by a hold');
    return result.row;
  }

  /** Gives back holds that nobody reported on for five minutes. Returns how many. */
  async releaseOrphans(atMost: number): Promise<number> {
    return this.#settleCandidates(await listOrphans(this.#db, atMost), 'orphan');
  }

  /** Settles streams that went quiet to the largest proven count. Returns how many. */
  async reconcileQuietStreams(atMost: number): Promise<number> {
    return this.#settleCandidates(await listQuietStreams(this.#db, atMost), 'reconcile');
  }

  async reportOpen(): Promise<void> {
    const counts = new Map(
      (await countOpenReservations(this.#db)).map((entry) => [entry.status, entry]),
    );
    for (const status of ['reserved', 'streaming']) {
      const entry = counts.get(status);
      this.#events.openReservations(status, entry?.count ?? 0, entry?.oldestSeconds ?? 0);
    }
  }

  /** Resolves when nothing waits any more; call after intake has stopped. */
  async drain(): Promise<void> {
    while (!this.#commit.idle) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async #settleCandidates(ids: readonly string[], action: 'orphan' | 'reconcile'): Promise<number> {
    const rows = await Promise.all(
      ids.map((reservationId) => this.settleNow({ reservationId, action })),
    );
    return rows.filter((row) => row.outcome !== 'unchanged').length;
  }

  async #submit(operation: Operation, urgent: boolean): Promise<Result> {
    try {
      return await this.#commit.submit(operation, urgent);
    } catch (error) {
      if (error instanceof QueueFullError || isUnavailable(error) || isTakenAlready(error)) {
        throw new ProblemError({
          code: 'service_unavailable',
          detail: 'The ledger cannot be reached; nothing was charged.',
          headers: { 'retry-after': '1' },
          cause: error,
        });
      }
      throw error;
    }
  }

  async #apply(operations: readonly Operation[]): Promise<Result[]> {
    const settlements: SettlementInput[] = [];
    const holds: HoldRequest[] = [];
    for (const operation of operations) {
      if (operation.kind === 'hold') holds.push(operation.hold);
      else settlements.push(this.#settlementOf(operation));
    }
    const applied = await this.#applyBatch(settlements, holds);
    settlements.forEach((settlement, index) => {
      const row = applied.settlements[index];
      if (row !== undefined) this.#events.settled(settlement, row);
    });
    let nextHold = 0;
    let nextSettlement = 0;
    return operations.map((operation) => {
      if (operation.kind === 'hold') {
        return { kind: 'hold', row: present(applied.holds[nextHold++]) };
      }
      return { kind: 'settlement', row: present(applied.settlements[nextSettlement++]) };
    });
  }

  async #applyBatch(
    settlements: readonly SettlementInput[],
    holds: readonly HoldRequest[],
  ): ReturnType<typeof applyLedgerBatch> {
    try {
      return await applyLedgerBatch(this.#db, settlements, holds);
    } catch (error) {
      // In company its members are tried one by one.
      const [alone] = holds;
      const isLone = alone !== undefined && holds.length + settlements.length === 1;
      if (!isLone || !isTakenAlready(error)) throw error;
      const standing = await readStandingHold(this.#db, alone);
      if (standing === undefined) throw error;
      return { settlements: [], holds: [standing] };
    }
  }

  #settlementOf(operation: Exclude<Operation, { kind: 'hold' }>): SettlementInput {
    if (operation.kind === 'settlement') return operation.settlement;
    // It leaves now: what is noted later goes in a note of its own, and this one keeps its counts
    // in case the batch is tried again.
    this.#forget(operation);
    return { ...operation.newest, action: 'progress' };
  }

  #forget(note: ProgressNote): void {
    const { reservationId } = note.newest;
    if (this.#waitingNotes.get(reservationId) === note) this.#waitingNotes.delete(reservationId);
  }
}

/**
 * The connection broke while the hold was taken, and the repetition met it. Its id was made for this one
 * request, so it is ours: what was decided about it is read. Should it be gone already, nothing runs on it.
 */
function isTakenAlready(error: unknown): boolean {
  return violatedConstraint(error) === 'budget_reservations_pkey';
}

function present<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new Error('the ledger batch returned too few rows');
  return row;
}
