import { setTimeout as delay } from 'node:timers/promises';
import { FLAGS_BUCKET } from '@arrakis/contracts';
import { natsOptions } from '@arrakis/nats';
import { JetStreamApiError, jetstream } from '@nats-io/jetstream';
import { Kvm, type KV, type KvEntry, type KvWatchEntry } from '@nats-io/kv';
import {
  connect,
  errors,
  type ConnectionOptions,
  type NatsConnection,
} from '@nats-io/transport-node';
import { readDocument, type Statement } from './document.domain.ts';
import type { FlagsLog } from './log.ts';

/** `live`: the bucket answers and holds a value. `empty`: NATS answers, but has no value. */
export type KvState = 'away' | 'empty' | 'live';

export interface KvSourceOptions {
  /** May carry user and password, or a token as the user alone. */
  readonly url: string;
  /** The name that NATS shows for this connection. */
  readonly name: string;
  readonly log: FlagsLog;
  readonly onState: (state: KvState) => void;
  /** A value of the bucket, each time one arrives; undefined for one that can't be relied on. */
  readonly onValue: (statement: Statement | undefined) => void;
  /** The watch missed a change that the regular look found. */
  readonly onHealed: () => void;
}

const API_TIMEOUT_MS = 2_000;
/** Between two looks while the watch delivers, and while there is nothing to watch. */
const LOOK_MS = 2_000;
const RETRY_MS = 500;
/** How far the watch may be behind a look without being suspected. */
const GRACE_MS = 250;
const WARN_INTERVAL_MS = 60_000;
/** So many unanswered looks in a row mean that the connection leads nowhere. */
const DEAD_AFTER_TIMEOUTS = 2;
const STREAM_NOT_FOUND = 10059;
/** The two ways in which an entry arrives round its time differently. */
const SAME_TIME_MS = 5;

/** One subscription to the key, from its current value on. */
interface Watch {
  /** The newest entry that it brought; undefined before the first. */
  seen: KvEntry | undefined;
  isOver: boolean;
  stop(): void;
}

/**
 * Follows the bucket, for as long as it takes and across restarts of NATS, with or without its
 * store. The watch brings values; a regular look at the key tells whether the watch is still to be
 * believed: the client goes on waiting for a sequence number that a recreated bucket won't reach for
 * long, and notices a lost consumer after a minute only.
 */
export class KvSource {
  readonly #options: KvSourceOptions;
  readonly #connectionOptions: ConnectionOptions;
  readonly #closing = new AbortController();
  #connection: NatsConnection | undefined;
  #watch: Watch | undefined;
  #state: KvState | undefined;
  /** Ends the pause before the next look. */
  #wake: (() => void) | undefined;
  #timeouts = 0;
  #lastWarnedMs = -Infinity;
  #running: Promise<void> = Promise.resolve();

  /** @throws Error when the URL can't be right. */
  constructor(options: KvSourceOptions) {
    this.#options = options;
    this.#connectionOptions = natsOptions(options.url, options.name);
  }

  /** Connects in the background. */
  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake?.();
    this.#dropWatch();
    await this.#connection?.close();
    await this.#running;
  }

  // A method, since it changes between two looks.
  #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #run(): Promise<void> {
    while (!this.#isClosed()) {
      try {
        const connection = await connect(this.#connectionOptions);
        await this.#serve(connection);
      } catch (error) {
        this.#warn(error, 'flags: NATS is not reachable');
      }
      this.#lost();
      await this.#pause(RETRY_MS);
    }
  }

  /** Until the connection is closed for good; the client reconnects by itself meanwhile. */
  async #serve(connection: NatsConnection): Promise<void> {
    this.#connection = connection;
    if (this.#isClosed()) return connection.close();
    void this.#followStatus(connection);
    const client = jetstream(connection, { timeout: API_TIMEOUT_MS, checkAPI: false });
    // Reads go to the leader of the bucket, whose answer is never older than what a watch brought.
    const bucket = await new Kvm(client).open(FLAGS_BUCKET.name);
    while (!this.#isClosed() && !connection.isClosed()) {
      await this.#look(bucket);
      await this.#pause(this.#state === 'live' ? LOOK_MS : RETRY_MS);
    }
  }

  async #followStatus(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect' || type === 'staleConnection') this.#lost();
      // NATS may have come back with another store: nothing of before is to be believed.
      if (type === 'reconnect') {
        this.#dropWatch();
        this.#wake?.();
      }
    }
  }

  async #look(bucket: KV): Promise<void> {
    try {
      const stored = await readKey(bucket);
      this.#timeouts = 0;
      if (stored === undefined) {
        this.#dropWatch();
        this.#enter('empty');
      } else if (await this.#isBehind(stored)) {
        await this.#openWatch(bucket);
      }
    } catch (error) {
      if (this.#isClosed()) return;
      this.#warn(error, 'flags: the bucket cannot be read');
      this.#lost();
      await this.#reconnectIfDead(error);
    }
  }

  /** The client itself gives a silent connection up after half a minute. */
  async #reconnectIfDead(error: unknown): Promise<void> {
    this.#timeouts = error instanceof errors.TimeoutError ? this.#timeouts + 1 : 0;
    if (this.#timeouts < DEAD_AFTER_TIMEOUTS) return;
    this.#timeouts = 0;
    // Rejects while it is reconnecting already.
    await this.#connection?.reconnect().catch(() => undefined);
  }

  /** Whether there has to be a new watch. */
  async #isBehind(stored: KvEntry): Promise<boolean> {
    const watch = this.#watch;
    if (watch === undefined || !this.#follows(watch)) return true;
    const before = watch.seen;
    if (isSame(before, stored)) return false;
    // Perhaps it is just on its way.
    await delay(GRACE_MS);
    if (!this.#follows(watch)) return true;
    if (watch.seen !== before) return false;
    if (before !== undefined) {
      this.#options.log.warn({}, 'flags: the watch missed a change; watching anew');
      this.#options.onHealed();
    }
    return true;
  }

  #follows(watch: Watch): boolean {
    return watch === this.#watch && !watch.isOver;
  }

  async #openWatch(bucket: KV): Promise<void> {
    this.#dropWatch();
    const entries = await bucket.watch({ key: FLAGS_BUCKET.key });
    const watch: Watch = { seen: undefined, isOver: false, stop: () => entries.stop() };
    if (this.#isClosed()) {
      watch.stop();
      return;
    }
    this.#watch = watch;
    void this.#follow(watch, entries);
  }

  async #follow(watch: Watch, entries: AsyncIterable<KvWatchEntry>): Promise<void> {
    try {
      for await (const entry of entries) {
        // One that was given up has nothing to say any more.
        if (watch !== this.#watch) return;
        watch.seen = entry;
        this.#take(entry);
      }
    } catch (error) {
      this.#warn(error, 'flags: the watch ended');
    } finally {
      watch.isOver = true;
    }
  }

  #take(entry: KvWatchEntry): void {
    if (entry.operation !== 'PUT') {
      this.#enter('empty');
      return;
    }
    this.#options.onValue(readDocument(entry.string()));
    this.#enter('live');
  }

  #lost(): void {
    this.#dropWatch();
    this.#enter('away');
  }

  #dropWatch(): void {
    const watch = this.#watch;
    this.#watch = undefined;
    watch?.stop();
  }

  #enter(state: KvState): void {
    if (state === this.#state || this.#isClosed()) return;
    this.#state = state;
    this.#options.onState(state);
  }

  #warn(error: unknown, message: string): void {
    const nowMs = performance.now();
    if (this.#isClosed() || nowMs - this.#lastWarnedMs < WARN_INTERVAL_MS) return;
    this.#lastWarnedMs = nowMs;
    this.#options.log.warn({ err: error }, message);
  }

  /** Ends early when the source is closed or the connection came back. */
  async #pause(ms: number): Promise<void> {
    if (this.#isClosed()) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => resolve(undefined), ms);
    this.#wake = () => resolve(undefined);
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }
}

/** The key's value; undefined while there is none, or no bucket. */
async function readKey(bucket: KV): Promise<KvEntry | undefined> {
  try {
    const stored = await bucket.get(FLAGS_BUCKET.key);
    return stored?.operation === 'PUT' ? stored : undefined;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return undefined;
    throw error;
  }
}

/** A recreated bucket counts from one again: the time tells its entries from the old ones. */
function isSame(one: KvEntry | undefined, other: KvEntry): boolean {
  if (one?.revision !== other.revision) return false;
  return Math.abs(one.created.getTime() - other.created.getTime()) <= SAME_TIME_MS;
}
