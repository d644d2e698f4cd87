import { fork, type ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ProviderError, type ProviderLog } from '../provider.ts';
import type { FromModel, ToModel } from './protocol.ts';

const ENTRY = fileURLToPath(new URL('./model-process.ts', import.meta.url));
const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 30_000;

type NumberedRequest = Extract<ToModel, { type: 'load' | 'run' }>;
type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never;
export type ModelRequest = Unnumbered<NumberedRequest>;

/** One request to the model's process, and who waits for it. */
interface Job {
  readonly request: NumberedRequest;
  readonly onMessage: (message: FromModel) => void;
  readonly onFailure: (error: Error) => void;
}

export interface RunningJob {
  pause(): void;
  resume(): void;
  /** The caller has lost interest: a queued job is dropped, a running one ends within a token. */
  abort(): void;
}

export interface ModelHostOptions {
  /** Jobs that wait; one more is refused as busy. */
  readonly maxQueued: number;
  /** A running job that says nothing for this long hangs: the process is killed. */
  readonly idleMs: number;
  readonly log: ProviderLog;
}

/**
 * Keeps the model's process: started by the first job, one job at a time, the rest in a bounded
 * queue. When it dies the running job fails, and it is started again, later each time it dies
 * without having finished one.
 */
export class ModelHost {
  readonly #options: ModelHostOptions;
  readonly #closing = new AbortController();
  #child: ChildProcess | undefined;
  #running: Job | undefined;
  #queue: Job[] = [];
  #nextId = 1;
  #failures = 0;
  #starting = false;
  /** Whether the process has finished a job, so that the model is known to be in it. */
  #isProven = false;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(options: ModelHostOptions) {
    this.#options = options;
  }

  /** Whether a loaded model is at work; one that hangs is ended by its own timer. */
  get isAnswering(): boolean {
    return this.#isProven && this.#running !== undefined;
  }

  /** @throws ProviderError `server_error` when the queue is full or the host is closed. */
  submit(request: ModelRequest, handlers: Pick<Job, 'onMessage' | 'onFailure'>): RunningJob {
    if (this.#closing.signal.aborted) throw gone();
    if (this.#queue.length >= this.#options.maxQueued) {
      throw new ProviderError('server_error', 'the local model is busy', { retryAfterMs: 1000 });
    }
    const id = this.#nextId++;
    const job: Job = { request: { ...request, id }, ...handlers };
    this.#queue.push(job);
    void this.#advance();
    return {
      pause: () => {
        if (this.#tell(job, 'pause')) clearTimeout(this.#idleTimer);
      },
      resume: () => {
        if (this.#tell(job, 'resume')) this.#watch();
      },
      abort: () => {
        this.#queue = this.#queue.filter((queued) => queued !== job);
        if (this.#tell(job, 'abort')) this.#watch();
      },
    };
  }

  /** Ends the process and fails what is left. */
  async close(): Promise<void> {
    this.#closing.abort();
    const left = [...this.#queue];
    this.#queue = [];
    for (const job of left) job.onFailure(gone());
    const child = this.#child;
    if (child === undefined) return;
    await new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.kill('SIGKILL');
    });
  }

  #tell(job: Job, type: 'pause' | 'resume' | 'abort'): boolean {
    if (this.#running !== job) return false;
    this.#post({ type, id: job.request.id });
    return true;
  }

  #watch(): void {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      this.#running?.onFailure(new ProviderError('timeout', 'the local model fell silent'));
      this.#child?.kill('SIGKILL');
    }, this.#options.idleMs);
  }

  #post(message: ToModel): void {
    // A process that is just dying can't be told; its exit is handled where it is seen.
    if (this.#child?.connected === true) this.#child.send(message, () => undefined);
  }

  async #advance(): Promise<void> {
    if (this.#running !== undefined || this.#starting || this.#queue.length === 0) return;
    if (this.#child === undefined) {
      this.#starting = true;
      await this.#backOff();
      this.#starting = false;
      if (this.#closing.signal.aborted) return;
      this.#child = this.#spawn();
    }
    const job = this.#queue.shift();
    if (job === undefined) return;
    this.#running = job;
    this.#watch();
    this.#post(job.request);
  }

  async #backOff(): Promise<void> {
    if (this.#failures === 0) return;
    const backoffMs = Math.min(FIRST_BACKOFF_MS * 2 ** (this.#failures - 1), MAX_BACKOFF_MS);
    await delay(backoffMs, undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }

  #spawn(): ChildProcess {
    const child = fork(ENTRY, {
      // Nothing of finn's environment: it holds secrets, and the model needs none of it.
      env: {},
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    child.on('message', (message) => this.#onMessage(child, message as FromModel));
    child.once('error', () => this.#onExit(child, null, 'error'));
    child.once('exit', (code, signal) => this.#onExit(child, code, signal));
    this.#options.log.info({ childPid: child.pid }, 'local model process started');
    return child;
  }

  #onMessage(child: ChildProcess, message: FromModel): void {
    const job = this.#running;
    if (child !== this.#child || job?.request.id !== message.id) return;
    if (message.type === 'delta' || message.type === 'working' || message.type === 'prompt') {
      this.#watch();
      job.onMessage(message);
      return;
    }
    this.#running = undefined;
    clearTimeout(this.#idleTimer);
    if (message.type !== 'unavailable') {
      this.#failures = 0;
      this.#isProven = true;
    }
    job.onMessage(message);
    void this.#advance();
  }

  #onExit(child: ChildProcess, code: number | null, signal: string | null): void {
    if (child !== this.#child) return;
    this.#child = undefined;
    this.#isProven = false;
    this.#failures += 1;
    if (!this.#closing.signal.aborted) {
      this.#options.log.warn({ exitCode: code, exitSignal: signal }, 'local model process died');
    }
    clearTimeout(this.#idleTimer);
    const job = this.#running;
    this.#running = undefined;
    job?.onFailure(gone());
    void this.#advance();
  }
}

/** Hosts by model directory, and how many use them. */
const shared = new Map<string, { readonly host: ModelHost; users: number }>();

/**
 * The host of a model directory: one for all targets of this process, because each would hold the
 * model in memory and compete for the same cores. The first caller's options count.
 */
export function acquireModelHost(
  modelDir: string,
  options: ModelHostOptions,
): { readonly host: ModelHost; readonly release: () => Promise<void> } {
  const entry = shared.get(modelDir) ?? { host: new ModelHost(options), users: 0 };
  shared.set(modelDir, entry);
  entry.users += 1;
  return {
    host: entry.host,
    release: async () => {
      entry.users -= 1;
      if (entry.users > 0) return;
      shared.delete(modelDir);
      await entry.host.close();
    },
  };
}

function gone(): ProviderError {
  return new ProviderError('server_error', 'the local model is not running');
}
