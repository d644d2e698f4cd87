import { USAGE_STREAM, type UsageEvent } from '@arrakis/contracts';
import { ensureUsageStreams, natsOptions } from '@arrakis/nats';
import { continueTrace } from '@arrakis/telemetry';
import { jetstreamManager } from '@nats-io/jetstream';
import {
  connect,
  createInbox,
  headers,
  type ConnectionOptions,
  type Msg,
  type NatsConnection,
} from '@nats-io/transport-node';
import type { UsagePublisher } from './metering.ts';

const API_TIMEOUT_MS = 2000;
const RETRY_MS = 500;
const ACK_TIMEOUT_MS = 5000;
const SWEEP_MS = 1000;
/** While NATS is away it is tried twice a second: say so now and then. */
const WARN_INTERVAL_MS = 10_000;
const NO_RESPONDERS = 503;
const MESSAGE_ID_HEADER = 'Nats-Msg-Id';
const TRACE_HEADER = 'traceparent';

export interface UsagePublisherOptions {
  /** May carry user and password, or a token as the user alone. */
  readonly url: string;
  /** The name that NATS shows for this connection. */
  readonly name: string;
  /** Copies of a stream that is made here. */
  readonly streamReplicas?: number | undefined;
  readonly log: PublisherLog;
  /** Called whenever events can be published (again): at first, and after each outage. */
  readonly onReady: () => void;
}

interface PublisherLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface RunningPublisher extends UsagePublisher {
  /** Connects in the background, for as long as it takes, and again after each loss. */
  start(): void;
  close(): Promise<void>;
}

interface Waiting {
  readonly sentAtMs: number;
  resolve(outcome: 'acked' | 'duplicate'): void;
  reject(error: Error): void;
}

/** @throws Error when the URL can't be right. */
export function createUsagePublisher(options: UsagePublisherOptions): RunningPublisher {
  return new JetStreamPublisher(options);
}

/**
 * Publishes with one inbox for all acknowledgements: a request of its own for each event costs
 * finn and NATS about twice as much.
 */
class JetStreamPublisher implements RunningPublisher {
  readonly #options: UsagePublisherOptions;
  readonly #connectionOptions: ConnectionOptions;
  readonly #inbox = createInbox();
  readonly #waiting = new Map<number, Waiting>();
  readonly #closing = Promise.withResolvers<undefined>();
  #connection: NatsConnection | undefined;
  #isReady = false;
  #isClosed = false;
  #isPreparing = false;
  #nextId = 1;
  #sweep: NodeJS.Timeout | undefined;
  #lastWarnedMs = -Infinity;
  #running: Promise<void> = Promise.resolve();

  constructor(options: UsagePublisherOptions) {
    this.#options = options;
    this.#connectionOptions = natsOptions(options.url, options.name);
  }

  get connected(): boolean {
    return this.#isReady;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** A child of the answer's span, even where it is published late and by another process. */
  publish(event: UsageEvent, traceparent?: string): Promise<'acked' | 'duplicate'> {
    const attributes = { 'arrakis.request_id': event.budget_reservation_id };
    const options = { kind: 'producer', attributes } as const;
    return continueTrace(traceparent, 'publish usage', options, async (span) => {
      const outcome = await this.#publish(event, span.traceparent);
      span.set({ 'arrakis.outcome': outcome });
      return outcome;
    });
  }

  #publish(event: UsageEvent, traceparent: string | undefined): Promise<'acked' | 'duplicate'> {
    const connection = this.#connection;
    // While disconnected the client would buffer without bound; the spool is the buffer.
    if (connection === undefined || !this.#isReady) {
      return Promise.reject(new Error('NATS is not connected'));
    }
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { sentAtMs: performance.now(), resolve, reject });
      this.#sweep ??= setInterval(() => this.#expire(), SWEEP_MS);
      const messageHeaders = headers();
      messageHeaders.set(MESSAGE_ID_HEADER, event.budget_reservation_id);
      if (traceparent !== undefined) messageHeaders.set(TRACE_HEADER, traceparent);
      connection.publish(USAGE_STREAM.subject, JSON.stringify(event), {
        reply: `${this.#inbox}.${id}`,
        headers: messageHeaders,
      });
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#isReady = false;
    this.#closing.resolve(undefined);
    clearInterval(this.#sweep);
    this.#rejectAll('the publisher is closed');
    await this.#connection?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    do {
      try {
        await this.#serve(await connect(this.#connectionOptions));
      } catch (error) {
        this.#warn(error, 'NATS is not reachable');
      }
      this.#isReady = false;
    } while (await this.#pause(RETRY_MS));
  }

  /** Until the connection is closed for good; the client reconnects by itself meanwhile. */
  async #serve(connection: NatsConnection): Promise<void> {
    this.#connection = connection;
    if (this.#isClosed) {
      await connection.close();
      return;
    }
    connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#onAck(message);
      },
    });
    void this.#prepare();
    for await (const status of connection.status()) {
      if (status.type === 'disconnect' || status.type === 'staleConnection') this.#onLost();
      if (status.type === 'reconnect') void this.#prepare();
    }
    this.#onLost();
  }

  #onLost(): void {
    if (this.#isReady) this.#options.log.warn({}, 'NATS connection lost');
    this.#isReady = false;
    this.#rejectAll('the connection to NATS was lost');
  }

  /** NATS may have come back with an empty store: the streams are looked for each time. */
  async #prepare(): Promise<void> {
    if (this.#isPreparing) return;
    this.#isPreparing = true;
    this.#isReady = false;
    while (!this.#isClosed && this.#connection?.isClosed() === false) {
      try {
        const timeout = API_TIMEOUT_MS;
        const manager = await jetstreamManager(this.#connection, { timeout, checkAPI: false });
        await ensureUsageStreams(manager, this.#options.streamReplicas);
        this.#isReady = true;
        break;
      } catch (error) {
        this.#warn(error, 'JetStream is not ready');
        await this.#pause(RETRY_MS);
      }
    }
    this.#isPreparing = false;
    if (!this.#isReady) return;
    this.#options.log.info({}, 'usage events can be published');
    this.#options.onReady();
  }

  #onAck(message: Msg): void {
    const id = Number(message.subject.slice(this.#inbox.length + 1));
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    if (message.headers?.code === NO_RESPONDERS) {
      // Connected, but nothing takes the subject: the stream was deleted under us.
      waiting.reject(new Error('the usage stream is gone'));
      void this.#prepare();
      return;
    }
    const outcome = readAck(message.string());
    if (outcome === undefined) waiting.reject(new Error('JetStream refused the event'));
    else waiting.resolve(outcome);
  }

  #expire(): void {
    const nowMs = performance.now();
    for (const [id, waiting] of this.#waiting) {
      if (nowMs - waiting.sentAtMs < ACK_TIMEOUT_MS) return;
      this.#waiting.delete(id);
      waiting.reject(new Error('JetStream did not acknowledge in time'));
    }
    if (this.#waiting.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #rejectAll(reason: string): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const waiting of all) waiting.reject(new Error(reason));
  }

  #warn(error: unknown, message: string): void {
    const nowMs = performance.now();
    if (nowMs - this.#lastWarnedMs < WARN_INTERVAL_MS) return;
    this.#lastWarnedMs = nowMs;
    this.#options.log.warn({ err: error }, message);
  }

  /** False when the publisher was closed meanwhile, or before. */
  async #pause(ms: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => resolve(undefined), ms);
    await Promise.race([promise, this.#closing.promise]);
    clearTimeout(timer);
    return !this.#isClosed;
  }
}

function readAck(text: string): 'acked' | 'duplicate' | undefined {
  try {
    const ack = JSON.parse(text) as { stream?: unknown; duplicate?: unknown };
    if (typeof ack.stream !== 'string' || ack.stream === '') return undefined;
    return ack.duplicate === true ? 'duplicate' : 'acked';
  } catch {
    return undefined;
  }
}
