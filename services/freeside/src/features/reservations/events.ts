import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Logger } from 'pino';
import type { HoldDecision, ReleaseReason } from './reservation.domain.ts';
import type { SettlementInput, SettlementResult } from './settlement.domain.ts';

/** What happens to reservations, each as a counter and, where somebody must look, a log line. */
export interface ReservationEvents {
  batchApplied(size: number, durationMs: number): void;
  holdDecided(decision: HoldDecision): void;
  holdReleased(reason: ReleaseReason): void;
  settled(settlement: SettlementInput, row: SettlementResult): void;
  progressLost(error: unknown): void;
  usageEventParked(reason: string): void;
  usageEventConsumed(outcome: string): void;
  openReservations(status: string, count: number, oldestSeconds: number): void;
}

export function createReservationEvents(registry: Registry, logger: Logger): ReservationEvents {
  const registers = [registry];
  const holds = new Counter({
    name: 'freeside_holds_total',
    help: 'Holds decided, by decision.',
    labelNames: ['decision'],
    registers,
  });
  const settlements = new Counter({
    name: 'freeside_settlements_total',
    help: 'Settlements applied, by the carrier that brought the count and what became of it.',
    labelNames: ['carrier', 'outcome'],
    registers,
  });
  const releases = new Counter({
    name: 'freeside_hold_releases_total',
    help: 'Holds given back because nothing reached the client, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const orphans = new Counter({
    name: 'freeside_orphans_released_total',
    help: 'Holds given back by the orphan job.',
    registers,
  });
  const unproven = new Counter({
    name: 'freeside_reconciled_to_zero_total',
    help: 'Streams that began but of which nothing could be proven: settled to zero.',
    registers,
  });
  const lateCaptures = new Counter({
    name: 'freeside_late_captures_total',
    help: 'Counts that arrived after their hold had been released as an orphan.',
    registers,
  });
  const writtenOff = new Counter({
    name: 'freeside_written_off_micro_total',
    help: 'Micro-credits owed but not covered, borne by the platform.',
    registers,
  });
  const batchSize = new Histogram({
    name: 'freeside_ledger_batch_size',
    help: 'Operations per ledger statement.',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    registers,
  });
  const batchDuration = new Histogram({
    name: 'freeside_ledger_batch_duration_seconds',
    help: 'Duration of a ledger statement, commit included.',
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
    registers,
  });
  const progressLosses = new Counter({
    name: 'freeside_progress_notes_lost_total',
    help: 'Progress notes that did not reach the database.',
    registers,
  });
  const usageEvents = new Counter({
    name: 'freeside_usage_events_total',
    help: 'Usage events consumed from JetStream, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  const open = new Gauge({
    name: 'freeside_open_reservations',
    help: 'Reservations without a terminal state.',
    labelNames: ['status'],
    registers,
  });
  const oldest = new Gauge({
    name: 'freeside_open_reservation_oldest_seconds',
    help: 'Age of the oldest reservation without a terminal state.',
    labelNames: ['status'],
    registers,
  });

  return {
    batchApplied(size, durationMs) {
      batchSize.observe(size);
      batchDuration.observe(durationMs / 1000);
    },
    holdDecided(decision) {
      holds.inc({ decision: decision.accepted ? 'accepted' : decision.code });
    },
    holdReleased(reason) {
      releases.inc({ reason });
    },
    settled(settlement, row) {
      if (settlement.action === 'progress') return;
      settlements.inc({ carrier: settlement.carrier ?? settlement.action, outcome: row.outcome });
      const fields = { requestId: settlement.reservationId, outcome: row.outcome };
      if (row.outcome === 'orphan_released') {
        orphans.inc();
        logger.warn(fields, 'hold released as an orphan');
      }
      if (row.outcome === 'late_captured') {
        lateCaptures.inc();
        logger.warn(fields, 'late usage captured');
      }
      if (settlement.action === 'reconcile' && row.outcome === 'finalized') {
        if (row.chargeMicro === 0n) unproven.inc();
        logger.warn(fields, 'quiet stream reconciled');
      }
      if (row.writtenOffMicro > 0n) {
        // A counter is a float by nature; the exact amount is in the books.
        writtenOff.inc(Number(row.writtenOffMicro.toString()));
        logger.error(fields, 'usage written off');
      }
    },
    progressLost(error) {
      progressLosses.inc();
      logger.warn({ err: error }, 'progress note lost');
    },
    usageEventParked(reason) {
      usageEvents.inc({ outcome: 'parked' });
      logger.error({ reason }, 'usage event parked');
    },
    usageEventConsumed(outcome) {
      usageEvents.inc({ outcome });
    },
    openReservations(status, count, oldestSeconds) {
      open.set({ status }, count);
      oldest.set({ status }, oldestSeconds);
    },
  };
}
