import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FakeControl, RecordedRequest, RequestOutcome, Scenario } from './scenario.ts';

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** One request while it is being answered. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: Mutable<RecordedRequest>;
  readonly bodyText: string;
  /** Aborted when the client has left or the fake is being closed. */
  readonly gone: AbortSignal;
  /** Rejects with ClientGone at that moment, for whatever waits. Never resolves. */
  readonly whenGone: Promise<never>;
}

/** The client has left, or the fake is being closed. */
class ClientGone extends Error {}

export type Handler = (exchange: Exchange, server: ScriptedServer) => Promise<void>;

/** The parts of a fake that don't depend on the vendor's protocol. */
export class ScriptedServer implements FakeControl {
  readonly #records: Mutable<RecordedRequest>[] = [];
  readonly #scripts = new Map<string, Scenario[]>();
  readonly #held = new Set<() => void>();
  readonly #handler: Handler;
  readonly #server: Server;
  #concurrent = 0;
  #peakConcurrent = 0;
  #failure: unknown;

  constructor(handler: Handler) {
    this.#handler = handler;
    this.#server = createServer((request, response) => {
      this.#accept(request, response).catch((error: unknown) => {
        this.#failure ??= error;
        response.destroy();
      });
    });
  }

  get requests(): readonly RecordedRequest[] {
    return this.#records;
  }
  get concurrent(): number {
    return this.#concurrent;
  }
  get peakConcurrent(): number {
    return this.#peakConcurrent;
  }
  get holding(): number {
    return this.#held.size;
  }
  get models(): readonly string[] {
    return [...this.#scripts.keys()];
  }

  /** Listens on a free port of 127.0.0.1 and returns `http://127.0.0.1:port`. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${String(port)}`;
  }

  script(model: string, ...scenarios: readonly Scenario[]): void {
    this.#scripts.set(model, scenarios.length === 0 ? [{}] : [...scenarios]);
  }

  scriptAll(models: Readonly<Record<string, Scenario | readonly Scenario[]>>): void {
    for (const [model, scenarios] of Object.entries(models)) {
      this.script(model, ...[scenarios].flat());
    }
  }

  /** The scenario for the next request to that model; undefined when there is no such model. */
  nextScenario(model: string): Scenario | undefined {
    const scenarios = this.#scripts.get(model);
    return scenarios !== undefined && scenarios.length > 1 ? scenarios.shift() : scenarios?.[0];
  }

  release(): void {
    for (const wake of [...this.#held]) wake();
  }

  /** Resolves at the next `release()`; rejects with ClientGone when the client leaves first. */
  async hold(exchange: Exchange): Promise<void> {
    let wake = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.#held.add(wake);
    try {
      await Promise.race([released, exchange.whenGone]);
    } finally {
      this.#held.delete(wake);
    }
  }

  clear(): void {
    this.#records.length = 0;
    this.#peakConcurrent = this.#concurrent;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    this.#server.closeAllConnections();
    await closed;
    // A defect of the fake itself must not look like one of the code under test.
    if (this.#failure !== undefined) {
      throw new Error('the fake itself failed', { cause: this.#failure });
    }
  }

  async #accept(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const record: Mutable<RecordedRequest> = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: undefined,
      model: undefined,
      status: 0,
      outcome: 'open',
      chunksSent: 0,
    };
    this.#records.push(record);
    this.#concurrent += 1;
    this.#peakConcurrent = Math.max(this.#peakConcurrent, this.#concurrent);
    const leave = new AbortController();
    const whenGone = new Promise<never>((_resolve, reject) => {
      leave.signal.addEventListener('abort', () => reject(new ClientGone()), { once: true });
    });
    whenGone.catch(() => undefined);
    response.once('close', () => {
      this.#concurrent -= 1;
      record.outcome = outcomeOf(record.outcome, response);
      leave.abort();
    });
    try {
      const bodyText = await readBody(request);
      const exchange = { request, response, record, bodyText, gone: leave.signal, whenGone };
      await this.#handler(exchange, this);
    } catch (error) {
      const left = leave.signal.aborted || response.destroyed || !request.complete;
      if (!left && !isConnectionLoss(error)) throw error;
    }
  }
}

/** A write may learn of it before the response does. */
function isConnectionLoss(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    /^(?:ECONNRESET|EPIPE|ECANCELED)$/.test(String(error.code))
  );
}

function outcomeOf(before: RequestOutcome, response: ServerResponse): RequestOutcome {
  if (before !== 'open') return before;
  return response.writableFinished ? 'completed' : 'aborted';
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

/** Answers with JSON and ends the response. */
export function sendJson(
  exchange: Exchange,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  exchange.record.status = status;
  exchange.response.writeHead(status, { 'content-type': 'application/json', ...headers });
  exchange.response.end(typeof body === 'string' ? body : JSON.stringify(body));
}
