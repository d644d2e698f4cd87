import { Counter, Gauge, type Registry } from 'prom-client';
import { describeError, type Logger } from '@arrakis/service-kit';

/** One job of the worker. `run` must be safe to run twice and beside itself on another replica. */
export interface PeriodicJob {
  readonly name: string;
  readonly everyMs: number;
  /**
   * Returns how many things it changed; a run that changed something is logged. A run that may take
   * longer than a drain heeds the signal, which is aborted when the scheduler closes; those that don't
   * are waited for.
   */
  readonly run: (closing?: AbortSignal) => Promise<number>;
}

export interface JobScheduler {
  /** Stops scheduling, asks the runs that are under way to end, and waits for them. */
  close(): Promise<void>;
}

/**
 * Runs each job at once and then `everyMs` after its last run ended (so it never overlaps itself),
 * with a tenth of jitter so that replicas spread out. A failing job is logged, counted and tried
 * again at its next turn.
 */
export function startJobs(
  jobs: readonly PeriodicJob[],
  deps: { readonly registry: Registry; readonly logger: Logger },
): JobScheduler {
  // Not `job`: that label is Prometheus's own, and a scrape would rename ours.
  const runs = new Counter({
    name: 'freeside_job_runs_total',
    help: 'Runs of periodic jobs.',
    labelNames: ['task', 'outcome'],
    registers: [deps.registry],
  });
  const lastSuccess = new Gauge({
    name: 'freeside_job_last_success_timestamp_seconds',
    help: 'When the job last ended well.',
    labelNames: ['task'],
    registers: [deps.registry],
  });
  const loops = jobs.map((job) => startLoop(job, { ...deps, runs, lastSuccess }));
  return {
    async close() {
      await Promise.all(loops.map((stop) => stop()));
    },
  };
}

interface LoopDeps {
  readonly logger: Logger;
  readonly runs: Counter;
  readonly lastSuccess: Gauge;
}

function startLoop(job: PeriodicJob, deps: LoopDeps): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const closing = new AbortController();
  let running = Promise.resolve();

  for (const outcome of ['ok', 'failed']) deps.runs.inc({ task: job.name, outcome }, 0);
  const schedule = (inMs: number) => {
    timer = setTimeout(() => {
      running = runOnce(job, closing.signal, deps).finally(() => {
        if (!closing.signal.aborted) schedule(job.everyMs * (0.95 + Math.random() * 0.1));
      });
    }, inMs);
  };
  schedule(0);

  return async () => {
    closing.abort();
    clearTimeout(timer);
    await running;
  };
}

async function runOnce(job: PeriodicJob, closing: AbortSignal, deps: LoopDeps): Promise<void> {
  try {
    const changed = await job.run(closing);
    deps.runs.inc({ task: job.name, outcome: 'ok' });
    deps.lastSuccess.setToCurrentTime({ task: job.name });
    if (changed > 0) deps.logger.info({ job: job.name, changed }, 'job changed something');
  } catch (error) {
    deps.runs.inc({ task: job.name, outcome: 'failed' });
    deps.logger.error({ job: job.name, err: describeError(error) }, 'job failed');
  }
}
