import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type ReservationMetrics = ReturnType<typeof createReservationMetrics>;

/** Holds and settlements as Prometheus sees them. */
export function createReservationMetrics(registry: Registry) {
  const registers = [registry];
  const metrics = { ...decisions(registers), ...rareEvents(registers), ...batches(registers) };
  exposeFromTheStart(metrics);
  return metrics;
}

/** What alerts watch, as 0: a counter that appears with its first event hides it from a rate. */
function exposeFromTheStart({ settlements, usageEvents }: ReturnType<typeof decisions>): void {
  for (const outcome of ['finalized', 'parked', 'retried']) usageEvents.inc({ outcome }, 0);
  for (const carrier of ['done_event', 'response_header', 'usage_event', 'journal', 'reconcile']) {
    settlements.inc({ carrier, outcome: 'finalized' }, 0);
  }
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
    charged: new Counter({
      name: 'freeside_charged_micro_total',
      help: 'Micro-credits charged by settlements, later corrections not counted, by pool.',
      labelNames: ['pool'],
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

/** `freeside_ledger_queue_depth`, read when the metrics are. */
export function observeQueueDepth(registry: Registry, waiting: () => number): void {
  new Gauge({
    name: 'freeside_ledger_queue_depth',
    help: 'Ledger operations that wait for the next statement.',
    registers: [registry],
    collect() {
      this.set(waiting());
    },
  });
}
