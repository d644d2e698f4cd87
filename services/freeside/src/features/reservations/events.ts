import { microForMetric } from '@arrakis/money';
import type { Logger } from '@arrakis/service-kit';
import type { Registry } from 'prom-client';
import { createReservationMetrics, type ReservationMetrics } from './metrics.ts';
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
  const metrics = createReservationMetrics(registry);
  return {
    batchApplied(size, durationMs) {
      metrics.batchSize.observe(size);
      metrics.batchDuration.observe(durationMs / 1000);
    },
    holdDecided(decision) {
      metrics.holds.inc({ decision: decision.accepted ? 'accepted' : decision.code });
    },
    holdReleased(reason) {
      metrics.releases.inc({ reason });
    },
    settled(settlement, row) {
      recordSettlement(metrics, logger, settlement, row);
    },
    progressLost(error) {
      metrics.progressLosses.inc();
      logger.warn({ err: error }, 'progress note lost');
    },
    usageEventParked(reason) {
      metrics.usageEvents.inc({ outcome: 'parked' });
      logger.error({ reason }, 'usage event parked');
    },
    usageEventConsumed(outcome) {
      metrics.usageEvents.inc({ outcome });
    },
    openReservations(status, count, oldestSeconds) {
      metrics.open.set({ status }, count);
      metrics.oldest.set({ status }, oldestSeconds);
    },
  };
}

function recordSettlement(
  metrics: ReservationMetrics,
  logger: Logger,
  settlement: SettlementInput,
  row: SettlementResult,
): void {
  const { action, carrier } = settlement;
  if (action === 'progress') return;
  metrics.settlements.inc({ carrier: carrier ?? action, outcome: row.outcome });
  countCharge(metrics, settlement, row);
  const fields = { requestId: settlement.reservationId, outcome: row.outcome };
  if (row.outcome === 'orphan_released') {
    metrics.orphans.inc();
    logger.warn(fields, 'hold released as an orphan');
  }
  if (row.outcome === 'late_captured') {
    metrics.lateCaptures.inc();
    logger.warn(fields, 'late usage captured');
  }
  if (action === 'reconcile' && row.outcome === 'finalized') {
    if (row.chargeMicro === 0n) metrics.unproven.inc();
    logger.warn(fields, 'quiet stream reconciled');
  }
  if (row.writtenOffMicro > 0n) {
    metrics.writtenOff.inc(microForMetric(row.writtenOffMicro));
    logger.error(fields, 'usage written off');
  }
}

/** Settlements repeat; only the one that changed the books counts. */
function countCharge(
  metrics: ReservationMetrics,
  { poolUsed }: SettlementInput,
  { outcome, chargeMicro }: SettlementResult,
): void {
  if (outcome !== 'finalized' && outcome !== 'late_captured') return;
  if (chargeMicro > 0n)
    metrics.charged.inc({ pool: poolUsed ?? 'unknown' }, microForMetric(chargeMicro));
}
