import { Counter, Gauge, type Registry } from 'prom-client';

/** What the metering tells when its metrics are read. */
export interface MeteringState {
  readonly pending: number;
  /** 0 when nothing is pending. */
  readonly oldestPendingSeconds: number;
  readonly isConnected: boolean;
  readonly spoolBytes: number;
  readonly spoolMaxBytes: number;
}

export type MeteringMetrics = ReturnType<typeof createMeteringMetrics>;

/** @param read called for each gauge at each scrape */
export function createMeteringMetrics(registry: Registry, read: () => MeteringState) {
  const registers = [registry];
  const gauge = (name: string, help: string, value: (state: MeteringState) => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value(read()));
      },
    });
  };
  gauge('finn_usage_pending', 'Usage events that JetStream has not acknowledged.', (state) => {
    return state.pending;
  });
  gauge(
    'finn_usage_pending_oldest_seconds',
    'Age of the oldest usage event that JetStream has not acknowledged; 0 when there is none.',
    (state) => state.oldestPendingSeconds,
  );
  gauge('finn_nats_connected', '1 while JetStream can be published to, else 0.', (state) => {
    return state.isConnected ? 1 : 0;
  });
  gauge('finn_spool_bytes', 'Size of the usage spool on disk.', (state) => state.spoolBytes);
  gauge('finn_spool_max_bytes', 'Size at which the usage spool refuses new streams.', (state) => {
    return state.spoolMaxBytes;
  });
  const published = new Counter({
    name: 'finn_usage_published_total',
    help: 'Usage events given to JetStream, by what came of it.',
    labelNames: ['outcome'] as const,
    registers,
  });
  for (const outcome of ['acked', 'duplicate', 'failed']) published.inc({ outcome }, 0);
  return {
    published,
    writeErrors: new Counter({
      name: 'finn_spool_write_errors_total',
      help: 'Writes to the usage spool that the disk refused.',
      registers,
    }),
    recovered: new Counter({
      name: 'finn_usage_recovered_total',
      help: 'Streams found unfinished in the journal of a dead process.',
      registers,
    }),
  };
}
