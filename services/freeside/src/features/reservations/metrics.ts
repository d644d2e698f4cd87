import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type ReservationMetrics = ReturnType<typeof createReservationMetrics>;

/** Holds and settlements as Prometheus sees them. */
export function createReservationMetrics(registry: Registry) {
  const registers = [registry];
  return { ...decisions(registers), ...rareEvents(registers), ...batches(registers) };
}

function decisions(registers: Registry[]) {
  return {
    holds: new Counter({
      name: 'freeside_holds_total',
      help: 'Holds decided, by decision.',
      labelNames: ['decision'],
      registers,
    }),
    settlements: new Counter({
      name: 'freeside_settlements_total',
      help: 'Settlements applied, by the carrier that brought the count and what became of it.',
      labelNames: ['carrier', 'outcome'],
      registers,
    }),
    releases: new Counter({
      name: 'freeside_hold_releases_total',
      help: 'Holds given back because nothing reached the client, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    usageEvents: new Counter({
      name: 'freeside_usage_events_total',
      help: 'Usage events consumed from JetStream, by outcome.',
      labelNames: ['outcome'],
      registers,
    }),
  };
}

function rareEvents(registers: Registry[]) {
  return {
    orphans: new Counter({
      name: 'freeside_orphans_released_total',
      help: 'Holds given back by the orphan job.',
      registers,
    }),
    unproven: new Counter({
      name: 'freeside_reconciled_to_zero_total',
      help: 'Streams that began but of which nothing could be proven: settled to zero.',
      registers,
    }),
    lateCaptures: new Counter({
      name: 'freeside_late_captures_total',
      help: 'Counts that arrived after their hold had been released as an orphan.',
      registers,
    }),
    writtenOff: new Counter({
      name: 'freeside_written_off_micro_total',
      help: 'Micro-credits owed but not covered, borne by the platform.',
      registers,
    }),
    progressLosses: new Counter({
      name: 'freeside_progress_notes_lost_total',
      help: 'Progress notes that did not reach the database.',
      registers,
    }),
  };
}

function batches(registers: Registry[]) {
  return {
    batchSize: new Histogram({
      name: 'freeside_ledger_batch_size',
      help: 'Operations per ledger statement.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    }),
    batchDuration: new Histogram({
      name: 'freeside_ledger_batch_duration_seconds',
      help: 'Duration of a ledger statement, commit included.',
      buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
    open: new Gauge({
      name: 'freeside_open_reservations',
      help: 'Reservations without a terminal state.',
      labelNames: ['status'],
      registers,
    }),
    oldest: new Gauge({
      name: 'freeside_open_reservation_oldest_seconds',
      help: 'Age of the oldest reservation without a terminal state.',
      labelNames: ['status'],
      registers,
    }),
  };
}
