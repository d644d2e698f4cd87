import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { InformerEvents, WatchEnd } from './informer.ts';
import type { WorkQueue, WorkQueueOptions } from './work-queue.ts';

const WATCH_ENDS: readonly WatchEnd[] = ['ended', 'silent', 'gone', 'failed'];
const LATENCY_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What the runtime tells about itself; `controller` and `resource` are names from our own code. */
export function createRuntimeMetrics(registry: Registry) {
  const registers = [registry];
  const requests = new Counter({
    name: 'controller_api_requests_total',
    help: 'Calls to the API server by verb, resource and answer; 0 when there was none.',
    labelNames: ['verb', 'resource', 'code'] as const,
    registers,
  });
  const leading = new Gauge({
    name: 'controller_leader',
    help: '1 while this process leads, else 0.',
    registers,
  });
  const transitions = new Counter({
    name: 'controller_leader_transitions_total',
    help: 'Times this process began or ceased to lead.',
    labelNames: ['to'] as const,
    registers,
  });
  leading.set(0);
  return {
    apiRequest: ({ verb, resource, code }: { verb: string; resource: string; code: number }) =>
      requests.inc({ verb, resource, code: String(code) }),
    leaderChanged: (isLeading: boolean) => {
      leading.set(isLeading ? 1 : 0);
      transitions.inc({ to: isLeading ? 'leader' : 'follower' });
    },
    ...queueMetrics(registers),
    ...watchMetrics(registers),
  };
}

type QueueCounts = Pick<WorkQueue, 'depth' | 'working' | 'delayed'>;

export type RuntimeMetrics = ReturnType<typeof createRuntimeMetrics>;

function queueMetrics(registers: Registry[]) {
  const waited = new Histogram({
    name: 'controller_queue_latency_seconds',
    help: 'From the moment a key was due until a worker took it.',
    labelNames: ['controller'] as const,
    buckets: LATENCY_SECONDS,
    registers,
  });
  const worked = new Histogram({
    name: 'controller_reconcile_seconds',
    help: 'One look at one object, by outcome.',
    labelNames: ['controller', 'outcome'] as const,
    buckets: LATENCY_SECONDS,
    registers,
  });
  const retries = new Counter({
    name: 'controller_queue_retries_total',
    help: 'Looks that failed and will be repeated with backoff.',
    labelNames: ['controller'] as const,
    registers,
  });
  const queues = new Map<string, QueueCounts>();
  new Gauge({
    name: 'controller_queue_keys',
    help: 'Keys of the work queue by state: waiting for a worker, being worked on, due later.',
    labelNames: ['controller', 'state'] as const,
    registers,
    collect() {
      for (const [controller, queue] of queues) {
        this.set({ controller, state: 'waiting' }, queue.depth);
        this.set({ controller, state: 'working' }, queue.working);
        this.set({ controller, state: 'later' }, queue.delayed);
      }
    },
  });
  return {
    observeQueue: (controller: string): NonNullable<WorkQueueOptions['observe']> => {
      // From zero, so that the first failure is an increase.
      for (const outcome of ['done', 'failed']) worked.zero({ controller, outcome });
      retries.inc({ controller }, 0);
      return {
        waitedMs: (ms) => waited.observe({ controller }, ms / 1000),
        workedMs: (ms, outcome) => worked.observe({ controller, outcome }, ms / 1000),
        retried: () => retries.inc({ controller }),
      };
    },
    /** Of the running term; the last one's queue stands in for those before it. */
    watchQueue: (controller: string, queue: QueueCounts) => void queues.set(controller, queue),
  };
}

function watchMetrics(registers: Registry[]) {
  const missed = new Counter({
    name: 'watch_missed_then_healed_total',
    help: 'Objects whose change a list found and no event of the watch had told.',
    labelNames: ['resource'] as const,
    registers,
  });
  const ends = new Counter({
    name: 'controller_watch_ends_total',
    help: 'Ends of watches: by the server in time, silent (cut by us), gone (version too old), failed.',
    labelNames: ['resource', 'why'] as const,
    registers,
  });
  const objects = new Gauge({
    name: 'controller_listed_objects',
    help: 'Objects in the last full list.',
    labelNames: ['resource'] as const,
    registers,
  });
  return {
    observeWatch: (resource: string, failed: InformerEvents['failed']): InformerEvents => {
      missed.inc({ resource }, 0);
      for (const why of WATCH_ENDS) ends.inc({ resource, why }, 0);
      return {
        missedThenHealed: (count) => missed.inc({ resource }, count),
        watchEnded: (why) => ends.inc({ resource, why }),
        listed: (count) => objects.set({ resource }, count),
        failed,
      };
    },
  };
}
