import { verify, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CONTRACT_VERSION,
  HEADERS,
  INFERENCE_PATH,
  InferenceRequest,
  S2SClaims,
  SSE_CONTENT_TYPE,
  formatDoneEvent,
  formatErrorEvent,
  formatTokenEvent,
  problem,
  usageOf,
  type ProblemCode,
} from '@arrakis/contracts';
import { Value } from 'typebox/value';

export const PROMPT_TOKENS = 11;
export const MODEL = 'test/Model 1.gguf';

export type Behaviour = (exchange: Exchange) => Promise<void> | void;

/** One request to the fake, and the means to answer it in any way. */
export class Exchange {
  readonly claims: S2SClaims;
  readonly body: InferenceRequest;
  readonly headers: IncomingMessage['headers'];
  readonly response: ServerResponse;
  aborted = false;
  sent = 0;

  constructor(request: IncomingMessage, response: ServerResponse, body: string) {
    this.headers = request.headers;
    this.response = response;
    const parsed: unknown = JSON.parse(body);
    if (!Value.Check(InferenceRequest, parsed)) throw new Error('the body breaks the contract');
    this.body = parsed;
    this.claims = claimsOf(request);
    response.on('close', () => (this.aborted = !response.writableFinished));
  }

  head(more: Record<string, string> = {}): this {
    this.response.writeHead(200, {
      'content-type': this.body.stream ? SSE_CONTENT_TYPE : 'application/json',
      [HEADERS.poolUsed]: this.claims.pool ?? 'cheap',
      [HEADERS.personalityId]: 'p-1',
      [HEADERS.modelUsed]: MODEL,
      [HEADERS.contractVersion]: CONTRACT_VERSION,
      [HEADERS.promptTokens]: String(PROMPT_TOKENS),
      ...(this.body.stream ? { trailer: 'X-Token-Count' } : {}),
      ...more,
    });
    return this;
  }

  token(content: string, tokens = 1): this {
    this.sent += tokens;
    this.response.write(formatTokenEvent(content, this.sent));
    return this;
  }

  /** Resolves when the bytes have left this process. */
  async write(bytes: string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.response.write(bytes, () => resolve());
    });
  }

  /** Resolves when freeside reads on, or has gone. */
  async untilDrained(): Promise<void> {
    const done = new AbortController();
    const { signal } = done;
    await Promise.race([
      once(this.response, 'drain', { signal }),
      once(this.response, 'close', { signal }),
    ]).finally(() => done.abort());
  }

  done(): void {
    this.response.write(formatDoneEvent(usageOf(PROMPT_TOKENS, this.sent), 'stop'));
    this.end();
  }

  error(): this {
    const requestId = this.claims.budget_reservation_id;
    this.response.write(formatErrorEvent(problem({ code: 'inference_failed', requestId })));
    return this;
  }

  end(): void {
    this.response.addTrailers({ 'X-Token-Count': String(this.sent) });
    this.response.end();
  }

  cut(): void {
    this.response.destroy();
  }

  plain(content: string, completionTokens: number, more: Record<string, string> = {}): void {
    this.head({ [HEADERS.tokenCount]: String(completionTokens), ...more });
    const usage = usageOf(PROMPT_TOKENS, completionTokens);
    this.response.end(JSON.stringify({ content, usage, finish_reason: 'stop' }));
  }

  refuse(code: ProblemCode, headers: Record<string, string> = {}): void {
    const body = problem({ code, requestId: this.claims.budget_reservation_id });
    this.response.writeHead(body.status, {
      'content-type': 'application/problem+json',
      [HEADERS.contractVersion]: CONTRACT_VERSION,
      ...headers,
    });
    this.response.end(JSON.stringify(body));
  }

  /** Resolves when freeside has given up on this answer. */
  async untilAborted(): Promise<void> {
    if (!this.response.destroyed) await once(this.response, 'close');
  }
}

/** Answers "Hello, world" in either form. */
export const greet: Behaviour = (exchange) => {
  if (exchange.body.stream) exchange.head().token('Hello').token(', world').done();
  else exchange.plain('Hello, world', 2);
};

/**
 * A strict finn: refuses what breaks the contract, a token used before, and a reservation that ran.
 */
export class FakeFinn {
  readonly requests: Exchange[] = [];
  /** What freeside did that no finn would accept; must stay empty. */
  readonly faults: string[] = [];
  readonly #server: Server;
  readonly #key: KeyObject;
  readonly #seenTokens = new Set<string>();
  readonly #ran = new Set<string>();
  #script: Behaviour[] = [];
  fallback: Behaviour = greet;

  constructor(key: KeyObject) {
    this.#key = key;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        this.faults.push(String(error));
        response.destroy();
      });
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** What the next requests meet; then the fallback again. */
  next(...behaviours: Behaviour[]): void {
    this.#script.push(...behaviours);
  }

  reset(): void {
    this.#script = [];
    this.fallback = greet;
    this.requests.length = 0;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.#check(request);
    const exchange = new Exchange(request, response, Buffer.concat(chunks).toString());
    const reservationId = exchange.claims.budget_reservation_id;
    if (request.headers[HEADERS.requestId] !== reservationId) throw new Error('a wrong request id');
    this.requests.push(exchange);
    if (this.#ran.has(reservationId)) {
      exchange.refuse('reservation_used');
      return;
    }
    await (this.#script.shift() ?? this.fallback)(exchange);
    if (response.headersSent && response.statusCode === 200) this.#ran.add(reservationId);
  }

  #check({ method, url, headers }: IncomingMessage): void {
    if (method !== 'POST' || url !== INFERENCE_PATH) throw new Error('a wrong path');
    if (headers['content-type'] !== 'application/json') throw new Error('a wrong type');
    if (headers[HEADERS.contractVersion] !== CONTRACT_VERSION) throw new Error('a wrong version');
    const token = headers.authorization?.replace('Bearer ', '') ?? '';
    if (!this.#isGenuine(token)) throw new Error('a token that is not genuine, or used before');
  }

  /** Marks a reservation as having run although nothing was answered. */
  markRan(reservationId: string): void {
    this.#ran.add(reservationId);
  }

  #isGenuine(token: string): boolean {
    const [header = '', payload = '', signature = ''] = token.split('.');
    if (this.#seenTokens.has(token)) return false;
    this.#seenTokens.add(token);
    return verify(
      'sha256',
      Buffer.from(`${header}.${payload}`),
      { key: this.#key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
  }
}

function claimsOf(request: IncomingMessage): S2SClaims {
  const payload = request.headers.authorization?.split('.')[1] ?? '';
  const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
  if (!Value.Check(S2SClaims, claims)) throw new Error('claims that break the contract');
  return claims;
}
