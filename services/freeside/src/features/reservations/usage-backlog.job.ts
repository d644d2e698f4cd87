import { Gauge, type Registry } from 'prom-client';
import type { PeriodicJob } from '../scheduling/periodic-job.ts';
import type { UsageBacklog } from './usage-backlog.client.ts';

export interface UsageBacklogJobOptions {
  readonly registry: Registry;
  /** `undefined` before the first connection to NATS: then nothing is known, and nothing shown. */
  readonly read: () => Promise<UsageBacklog | undefined>;
}

const EVERY_MS = 10_000;

/**
 * Shows how far settlement from usage events is behind. What could not be read leaves the last
 * value standing; the age of the job's last success tells.
 */
export function usageBacklogJob({ registry, read }: UsageBacklogJobOptions): PeriodicJob {
  const backlog = new Gauge({
    name: 'freeside_usage_backlog_events',
    help: 'Usage events that are not settled yet, by state (pending, unacknowledged, redelivered, parked).',
    labelNames: ['state'],
    registers: [registry],
  });
  return {
    name: 'sample_usage_backlog',
    everyMs: EVERY_MS,
    run: async () => {
      const sample = await read();
      if (sample === undefined) return 0;
      backlog.set({ state: 'pending' }, sample.pending);
      backlog.set({ state: 'unacknowledged' }, sample.unacknowledged);
      backlog.set({ state: 'redelivered' }, sample.redelivered);
      backlog.set({ state: 'parked' }, sample.parked);
      return 0;
    },
  };
}
