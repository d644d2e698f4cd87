import closeWithGrace from 'close-with-grace';
import type { Logger } from 'pino';
import { createLifecycle, type Lifecycle } from './lifecycle.ts';

/** What `start` hands over to be taken down again. */
export interface RunningService {
  /** Stops taking work in and resolves when what is under way has ended. */
  drain?(): Promise<void>;
  /** Closes connections, dependents before what they depend on. */
  close(): Promise<void>;
}

export interface RunServiceOptions {
  readonly logger: Logger;
  /** Brings the service up; `signal` is aborted when draining begins. */
  readonly start: (signal: AbortSignal) => Promise<RunningService>;
  /** For `drain`; what has not ended by then is cut by `close`. */
  readonly drainDeadlineMs: number;
  /** Between "not ready" and the end of intake, so that balancers can look away. Default 0. */
  readonly announceMs?: number;
  /** For `close`. Default 10 s. */
  readonly closeDeadlineMs?: number;
  /** To share with the app and the admin server; made here if absent. */
  readonly lifecycle?: Lifecycle;
}

const DEFAULT_CLOSE_DEADLINE_MS = 10_000;
/** After an uncaught error the process's state is unknown: what drains quickly may. */
const DRAIN_AFTER_ERROR_MS = 5_000;
/** For a start that is still under way when the end comes; it sees its signal aborted. */
const START_GRACE_MS = 5_000;
/** For an output that nobody reads. */
const FLUSH_DEADLINE_MS = 1_000;

type ShutdownCause = 'signal' | 'error' | 'start failed' | 'idle';

/**
 * Runs a service until SIGTERM or SIGINT: not ready, pause, drain with a deadline, close, flush the
 * log, exit. A second signal exits at once. A failed start and an uncaught error exit with 1.
 */
export function runService(options: RunServiceOptions): void {
  const lifecycle = options.lifecycle ?? createLifecycle();
  const closeDeadlineMs = options.closeDeadlineMs ?? DEFAULT_CLOSE_DEADLINE_MS;
  // The start begins when the handlers are in place: a signal meanwhile must not end the process.
  const starting = Promise.withResolvers<RunningService>();
  let startFailed = false;

  const grace = closeWithGrace(
    {
      delay: (options.announceMs ?? 0) + options.drainDeadlineMs + closeDeadlineMs,
      logger: false,
      // Handling these in JavaScript would run on in a process that the system wants dead.
      skip: ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2'],
      onSecondSignal: (signal) => options.logger.warn({ signal }, 'second signal, exiting'),
      onSecondError: (error) => options.logger.fatal({ err: error }, 'second error, exiting'),
      onTimeout: () => options.logger.error('shutdown deadline reached, exiting'),
    },
    async ({ err, signal, manual }) => {
      const cause = causeOf(err, manual === true && startFailed, signal);
      if (err !== undefined) options.logger.fatal({ err }, 'uncaught error');
      options.logger.info({ cause, signal }, 'shutting down');
      await shutDown(options, lifecycle, starting.promise, cause);
      options.logger.info('shut down');
      await flushLog(options.logger);
      if (cause === 'start failed') throw new Error(cause);
    },
  );

  starting.promise.catch((error: unknown) => {
    startFailed = true;
    options.logger.fatal({ err: error }, 'start failed');
    if (!lifecycle.isDraining()) grace.close();
  });
  starting.resolve(startSafely(options, lifecycle.signal));
}

/** What `start` throws before it returns a promise is a failed start too. */
async function startSafely(
  options: RunServiceOptions,
  signal: AbortSignal,
): Promise<RunningService> {
  return await options.start(signal);
}

function causeOf(err: unknown, startFailed: boolean, signal: string | undefined): ShutdownCause {
  if (err !== undefined) return 'error';
  if (startFailed) return 'start failed';
  return signal === undefined ? 'idle' : 'signal';
}

async function shutDown(
  options: RunServiceOptions,
  lifecycle: Lifecycle,
  starting: Promise<RunningService>,
  cause: ShutdownCause,
): Promise<void> {
  lifecycle.beginDraining();
  const service = await Promise.race([starting.catch(() => undefined), pause(START_GRACE_MS)]);
  if (service === undefined) return;
  if (cause === 'signal') await pause(options.announceMs ?? 0);
  const deadlineMs =
    cause === 'error'
      ? Math.min(options.drainDeadlineMs, DRAIN_AFTER_ERROR_MS)
      : options.drainDeadlineMs;
  await drain(service, deadlineMs, options.logger);
  await service.close();
}

async function drain(service: RunningService, deadlineMs: number, logger: Logger): Promise<void> {
  if (service.drain === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), deadlineMs);
  });
  try {
    const outcome = await Promise.race([service.drain(), deadline]);
    if (outcome === 'late') logger.warn({ deadlineMs }, 'drain deadline reached');
  } catch (error) {
    logger.error({ err: error }, 'drain failed');
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Lines on their way to the output would otherwise come after those that the exit itself flushes,
 * or not at all.
 */
async function flushLog(logger: Logger): Promise<void> {
  const flushed = new Promise<void>((resolve) => logger.flush(() => resolve()));
  await Promise.race([flushed, pause(FLUSH_DEADLINE_MS)]);
}

function pause(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms));
}
