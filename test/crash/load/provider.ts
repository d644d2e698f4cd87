import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Pool as PoolName } from '@arrakis/contracts';
import { createPrng, type Prng } from '../world/prng.ts';
import type { ProviderHandle, ProviderRecord } from '../types.ts';
import { drawPlan, isPlanName, tokensOf, type AnswerPlan, type PlanName } from './answer-plan.ts';
import { readChatRequest, type ChatRequest } from './chat-request.ts';
import { countPromptAsFinn } from './finn-counts.ts';
import { PROMPT_TOKENS, UniqueUsage } from './unique-usage.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type NotedAnswer = Mutable<ProviderRecord>;

const MODELS: Readonly<Record<PoolName, string>> = {
  cheap: 'crash-cheap',
  standard: 'crash-standard',
  reasoning: 'crash-reasoning',
  architect: 'crash-architect',
  flagship: 'crash-flagship',
};

/**
 * Between two failures of one model. Three in a row would open a breaker for half a minute, and what
 * clients are then told, rightly, would hide what this test is about.
 */
const MIN_BETWEEN_FAILURES = 12;

/** What tests can do beyond what the runner does; by the handle that `startProvider` returned. */
const releases = new WeakMap<ProviderHandle, (marker: string) => void>();

/** Lets the answer go on that was asked for with the plan `held`, now or when it comes. */
export function releaseAnswer(provider: ProviderHandle, marker: string): void {
  releases.get(provider)?.(marker);
}

/**
 * A small vendor that speaks OpenAI's chat completions and behaves as badly as real ones do, drawn
 * from the seed. A marker in the last message names the client's request; the plan may be named
 * beside it.
 */
export async function startProvider(seed: number): Promise<ProviderHandle> {
  const apiKey = `sk-crash-${randomUUID()}`;
  const vendor = new Vendor(createPrng(seed, 'provider'), apiKey);
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    vendor.answer(request, response).catch(() => response.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const handle: ProviderHandle = {
    baseUrl: `http://127.0.0.1:${String(port)}/v1`,
    apiKey,
    models: MODELS,
    records: () => vendor.records,
    calm: () => vendor.calm(),
    async close() {
      vendor.calm();
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  releases.set(handle, (marker) => vendor.release(marker));
  return handle;
}

class Vendor {
  readonly records: NotedAnswer[] = [];
  readonly #prng: Prng;
  readonly #usage: UniqueUsage;
  readonly #apiKey: string;
  readonly #released = new Set<string>();
  readonly #sinceFailure = new Map<PoolName, number>();
  readonly #waiting = new Map<string, (() => void)[]>();
  readonly #calm = Promise.withResolvers<'calm'>();
  #isCalm = false;

  constructor(prng: Prng, apiKey: string) {
    this.#prng = prng;
    this.#usage = new UniqueUsage(prng);
    this.#apiKey = apiKey;
  }

  calm(): void {
    this.#isCalm = true;
    this.#calm.resolve('calm');
  }

  release(marker: string): void {
    this.#released.add(marker);
    for (const resume of this.#waiting.get(marker) ?? []) resume();
    this.#waiting.delete(marker);
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers.authorization !== `Bearer ${this.#apiKey}`) {
      sendError(response, 401, 'Incorrect API key provided.');
      return;
    }
    if (request.method === 'GET' && request.url === '/v1/models') {
      const data = Object.values(MODELS).map((id) => ({ id, object: 'model', owned_by: 'crash' }));
      sendJson(response, 200, { object: 'list', data });
      return;
    }
    const chat = await readChatRequest(request, MODELS);
    if ('status' in chat) sendError(response, chat.status, chat.message);
    else await this.#complete(chat, response);
  }

  async #complete(chat: ChatRequest, response: ServerResponse): Promise<void> {
    const plan = this.#planFor(chat);
    const record = this.#open(chat, plan);
    response.once('close', () => {
      record.endedAtMs = Date.now();
      if (record.outcome === 'open') {
        record.outcome = response.writableFinished ? 'completed' : 'aborted_by_finn';
      }
    });
    const gone = new Promise<'gone'>((resolve) => response.once('close', () => resolve('gone')));
    const exchange: Exchange = { chat, plan, record, response, gone };
    if (await this.#failsBeforeTheHead(exchange)) return;
    if (chat.stream) await this.#stream(exchange);
    else await this.#answerWhole(exchange);
  }

  #planFor(chat: ChatRequest): AnswerPlan {
    if (isPlanName(chat.plan)) return drawPlan(this.#prng, chat.plan);
    if (this.#isCalm) return drawPlan(this.#prng, 'brisk');
    const drawn = drawPlan(this.#prng, undefined);
    const sinceFailure = this.#sinceFailure.get(chat.pool) ?? MIN_BETWEEN_FAILURES;
    const mayFail = sinceFailure >= MIN_BETWEEN_FAILURES;
    this.#sinceFailure.set(chat.pool, drawn.fails && mayFail ? 0 : sinceFailure + 1);
    return drawn.fails && !mayFail ? drawPlan(this.#prng, 'well') : drawn;
  }

  #open(chat: ChatRequest, plan: AnswerPlan): NotedAnswer {
    const promptTokens = countPromptAsFinn(chat.contents);
    if (promptTokens <= PROMPT_TOKENS.most) {
      throw new Error('a prompt so short that its count may be taken for a unique usage');
    }
    const record: NotedAnswer = {
      marker: chat.marker,
      atMs: Date.now(),
      pool: chat.pool,
      stream: chat.stream,
      promptTokens,
      completionTokens: 0,
      pieces: [],
      usageReported: plan.name !== 'omit',
      plan: plan.name,
      outcome: 'open',
    };
    this.records.push(record);
    return record;
  }

  /** From here on finn has to charge what is reported, or else what it counts itself. */
  #conclude({ chat, record }: Exchange): void {
    record.outcome = 'completed';
    if (!record.usageReported) return;
    Object.assign(record, this.#usage.next(chat.pool, record.completionTokens, chat.maxTokens));
  }

  /** Whether the request has its end already. */
  async #failsBeforeTheHead({ plan, record, response, gone, chat }: Exchange): Promise<boolean> {
    const failure = FAILURES[plan.name];
    if (failure !== undefined) {
      record.outcome = 'failed';
      sendError(response, failure, 'The server had an error.', { 'retry-after': '1' });
    } else if (plan.name === 'mute') {
      record.outcome = 'failed';
      await Promise.race([gone, this.#calm.promise]);
      response.destroy();
    } else if (plan.name === 'reset') {
      record.outcome = 'failed';
      response.socket?.resetAndDestroy();
    } else if (plan.name === 'held') {
      return (await Promise.race([gone, this.#releasedOrCalm(chat.marker)])) === 'gone';
    }
    return record.outcome === 'failed';
  }

  /** What is held after the calm began waits for its release alone. */
  #releasedOrCalm(marker: string): Promise<'calm' | 'released'> {
    if (this.#released.has(marker)) return Promise.resolve('released');
    const released = new Promise<'released'>((resolve) => {
      const waiting = this.#waiting.get(marker) ?? [];
      waiting.push(() => resolve('released'));
      this.#waiting.set(marker, waiting);
    });
    return this.#isCalm ? released : Promise.race([released, this.#calm.promise]);
  }

  async #stream(exchange: Exchange): Promise<void> {
    const { plan, record, response, chat, gone } = exchange;
    const envelope = { id: `chatcmpl-${randomUUID()}`, object: 'chat.completion.chunk' };
    const send = (body: object): void => {
      response.write(
        `data: ${JSON.stringify({ ...envelope, model: MODELS[chat.pool], ...body })}\n\n`,
      );
    };
    const delta = (content: object, finish: string | null): void =>
      send({ choices: [{ index: 0, delta: content, logprobs: null, finish_reason: finish }] });
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    delta({ role: 'assistant', content: '' }, null);
    for (const [index, piece] of plan.pieces.entries()) {
      if (index === plan.breaksAt && (await this.#breaks(exchange, send))) return;
      if (plan.gapMs > 0 && (await Promise.race([gone, pause(plan.gapMs)])) === 'gone') return;
      if (response.destroyed) return;
      record.pieces.push(piece);
      record.completionTokens = tokensOf(record.pieces);
      delta({ content: piece }, null);
    }
    this.#conclude(exchange);
    delta({}, 'stop');
    if (record.usageReported && chat.includeUsage) send({ choices: [], usage: usageBody(record) });
    response.end('data: [DONE]\n\n');
  }

  /** Whether the answer has ended in its middle. */
  async #breaks(
    { plan, record, response, gone }: Exchange,
    send: (body: object) => void,
  ): Promise<boolean> {
    if (plan.name === 'stall') await Promise.race([gone, this.#calm.promise]);
    if (plan.name === 'error-event') {
      record.outcome = 'cut';
      send({ error: { message: 'The server had an error.', type: 'server_error', code: null } });
      response.end();
      return true;
    }
    if (plan.name !== 'stall' && plan.name !== 'cut') return false;
    if (!response.destroyed) {
      record.outcome = 'cut';
      response.socket?.resetAndDestroy();
    }
    return true;
  }

  async #answerWhole(exchange: Exchange): Promise<void> {
    const { plan, record, response, chat, gone } = exchange;
    const waitMs = plan.gapMs * plan.pieces.length;
    if (waitMs > 0 && (await Promise.race([gone, pause(waitMs)])) === 'gone') return;
    record.pieces.push(...plan.pieces);
    record.completionTokens = tokensOf(record.pieces);
    this.#conclude(exchange);
    const message = { role: 'assistant', content: plan.pieces.join(''), refusal: null };
    sendJson(response, 200, {
      id: `chatcmpl-${randomUUID()}`,
      object: 'chat.completion',
      model: MODELS[chat.pool],
      choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
      ...(record.usageReported ? { usage: usageBody(record) } : {}),
    });
  }
}

interface Exchange {
  readonly chat: ChatRequest;
  readonly plan: AnswerPlan;
  readonly record: NotedAnswer;
  readonly response: ServerResponse;
  /** Resolves when the connection has ended, however. */
  readonly gone: Promise<'gone'>;
}

const FAILURES: Readonly<Partial<Record<PlanName, number>>> = {
  'fail-500': 500,
  'fail-503': 503,
  'fail-429': 429,
};

function usageBody({ promptTokens, completionTokens }: NotedAnswer): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

function sendError(
  response: ServerResponse,
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const type = status < 500 ? 'invalid_request_error' : 'server_error';
  sendJson(response, status, { error: { message, type, param: null, code: null } }, headers);
}

function pause(ms: number): Promise<'passed'> {
  return new Promise((resolve) => setTimeout(() => resolve('passed'), ms));
}
