import type { HoldRequest } from '../reservation.domain.ts';
import type { HoldVerdict, SettlementInput, SettlementResult } from '../settlement.domain.ts';
import type { Process } from './agenda.domain.ts';
import type { Ledger } from './ledger.domain.ts';
import type { World } from './world.domain.ts';

type Operation =
  | {
      readonly kind: 'hold';
      readonly hold: HoldRequest;
      readonly done: (verdict: HoldVerdict | undefined) => void;
    }
  | {
      readonly kind: 'settlement';
      readonly input: SettlementInput;
      readonly done: (result: SettlementResult | undefined) => void;
    }
  | Note;
interface Note {
  readonly kind: 'note';
  newest: SettlementInput;
}
type Lane = 'urgent' | 'patient';

const PATIENCE_MS = 5;

/** The group commit of one process, as `group-commit.ts` and `service.ts` have it. */
export class Lanes {
  readonly #world: World;
  readonly #process: Process;
  readonly #ledger: Ledger;
  readonly #waiting: Record<Lane, Operation[]> = { urgent: [], patient: [] };
  readonly #isBusy: Record<Lane, boolean> = { urgent: false, patient: false };
  readonly #isPlanned: Record<Lane, boolean> = { urgent: false, patient: false };
  readonly #notes = new Map<string, Note>();

  constructor(world: World, process: Process, ledger: Ledger) {
    this.#world = world;
    this.#process = process;
    this.#ledger = ledger;
  }

  hold(hold: HoldRequest, done: (verdict: HoldVerdict | undefined) => void): void {
    this.#waiting.urgent.push({ kind: 'hold', hold, done });
    this.#plan('urgent');
  }

  settle(input: SettlementInput, done: (result: SettlementResult | undefined) => void): void {
    this.#waiting.patient.push({ kind: 'settlement', input, done });
    this.#plan('patient');
  }

  /** Lost without a trace when the ledger can't be reached. */
  note(newest: SettlementInput): void {
    const waiting = this.#notes.get(newest.reservationId);
    if (waiting !== undefined) {
      waiting.newest = newest;
      return;
    }
    const note: Note = { kind: 'note', newest };
    this.#notes.set(newest.reservationId, note);
    this.#waiting.patient.push(note);
    this.#plan('patient');
  }

  #plan(lane: Lane): void {
    if (this.#isPlanned[lane] || this.#isBusy[lane] || this.#waiting[lane].length === 0) return;
    this.#isPlanned[lane] = true;
    const delayMs = lane === 'urgent' ? 0 : PATIENCE_MS;
    this.#world.after(delayMs, this.#process, 'statement leaves', () => {
      this.#isPlanned[lane] = false;
      if (this.#isBusy[lane] || this.#waiting[lane].length === 0) return;
      this.#isBusy[lane] = true;
      const batch = [...this.#waiting.patient.splice(0)];
      if (lane === 'urgent') batch.push(...this.#waiting.urgent.splice(0));
      this.#send(lane, batch);
    });
  }

  #send(lane: Lane, batch: readonly Operation[]): void {
    const settlements: SettlementInput[] = [];
    const holds: HoldRequest[] = [];
    for (const operation of batch) {
      if (operation.kind === 'hold') holds.push(operation.hold);
      else settlements.push(this.#inputOf(operation));
    }
    this.#ledger.execute(this.#process, { settlements, holds }, (result) => {
      this.#isBusy[lane] = false;
      let nextHold = 0;
      let nextSettlement = 0;
      for (const operation of batch) {
        if (operation.kind === 'hold') operation.done(result?.holds[nextHold++]);
        else if (operation.kind === 'note') nextSettlement += 1;
        else operation.done(result?.settlements[nextSettlement++]);
      }
      this.#plan('urgent');
      this.#plan('patient');
    });
  }

  #inputOf(operation: Exclude<Operation, { kind: 'hold' }>): SettlementInput {
    if (operation.kind === 'settlement') return operation.input;
    this.#notes.delete(operation.newest.reservationId);
    return operation.newest;
  }
}
