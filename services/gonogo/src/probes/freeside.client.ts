import type { Secret } from '@arrakis/service-kit';
import { ask, at, send, toNoAnswer, type HttpAnswer } from './http.client.ts';

/** freeside's public API, as a developer with an API key sees it. */
export interface FreesideClient {
  readonly url: string;
  models(signal: AbortSignal): Promise<HttpAnswer>;
  chat(model: string, signal: AbortSignal): Promise<ChatAnswer>;
  streamChat(model: string, signal: AbortSignal): Promise<StreamedAnswer>;
  balance(signal: AbortSignal): Promise<HttpAnswer>;
  receipt(requestId: string, signal: AbortSignal): Promise<HttpAnswer>;
  /** Asks for an invoice; the same key never asks for a second one. */
  buy(pack: string, idempotencyKey: string, signal: AbortSignal): Promise<HttpAnswer>;
}

export interface ChatAnswer {
  readonly status: number;
  readonly requestId: string | undefined;
  readonly poolUsed: string | undefined;
  /** 0 when the answer has no usage. */
  readonly completionTokens: number;
  readonly characters: number;
  /** Of a refusal. */
  readonly code: string | undefined;
}

export interface StreamedAnswer extends ChatAnswer {
  /** Pieces of text. */
  readonly deltas: number;
  readonly finishReason: string | undefined;
  /** Whether the stream ended with `[DONE]`. */
  readonly isDone: boolean;
}

/** A model may be slow; this is longer than freeside's own limit for an answer. */
const ANSWER_TIMEOUT_MS = 75_000;
/** freeside gives the payment vendor ten seconds. */
const INVOICE_TIMEOUT_MS = 15_000;
const MAX_TOKENS = 16;
const PROMPT = 'Say one short sentence.';

export function freesideClient(url: string, apiKey: Secret): FreesideClient {
  const headers = (): Record<string, string> => ({ authorization: `Bearer ${apiKey.reveal()}` });
  const chatUrl = `${url}/v1/chat/completions`;
  const chatOf = (model: string, more: object, signal: AbortSignal) => ({
    method: 'POST' as const,
    headers: headers(),
    body: {
      model,
      messages: [{ role: 'user', content: PROMPT }],
      max_tokens: MAX_TOKENS,
      ...more,
    },
    signal,
    timeoutMs: ANSWER_TIMEOUT_MS,
  });
  return {
    url,
    models: (signal) => ask(`${url}/v1/models`, { headers: headers(), signal }),
    balance: (signal) => ask(`${url}/api/v1/balance`, { headers: headers(), signal }),
    receipt: (requestId, signal) =>
      ask(`${url}/api/v1/usage/${encodeURIComponent(requestId)}`, { headers: headers(), signal }),
    buy: (pack, idempotencyKey, signal) =>
      ask(`${url}/api/v1/payments`, {
        method: 'POST',
        headers: { ...headers(), 'idempotency-key': idempotencyKey },
        body: { pack },
        signal,
        timeoutMs: INVOICE_TIMEOUT_MS,
      }),
    async chat(model, signal) {
      const answer = await ask(chatUrl, chatOf(model, {}, signal));
      const content = at(answer.json, 'choices', 0, 'message', 'content');
      return {
        ...headOf(answer.status, answer.headers),
        completionTokens: countOf(at(answer.json, 'usage', 'completion_tokens')),
        characters: typeof content === 'string' ? content.length : 0,
        code: codeOf(answer.json),
      };
    },
    async streamChat(model, signal) {
      const options = { stream: true, stream_options: { include_usage: true } };
      try {
        const response = await send(chatUrl, chatOf(model, options, signal));
        return {
          ...headOf(response.status, response.headers),
          ...readStream(await response.text()),
        };
      } catch (error) {
        throw toNoAnswer(chatUrl, error);
      }
    },
  };
}

function headOf(status: number, headers: Headers) {
  return {
    status,
    requestId: headers.get('x-request-id') ?? undefined,
    poolUsed: headers.get('x-pool-used') ?? undefined,
  };
}

/** What OpenAI's stream of chunks says; a plain refusal is read as well. */
export function readStream(text: string): Omit<StreamedAnswer, keyof ReturnType<typeof headOf>> {
  const data = text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length));
  const chunks = data.filter((line) => line !== '[DONE]').map(parse);
  const pieces = chunks
    .map((chunk) => at(chunk, 'choices', 0, 'delta', 'content'))
    .filter((piece): piece is string => typeof piece === 'string' && piece !== '');
  const finish = chunks.map((chunk) => at(chunk, 'choices', 0, 'finish_reason'));
  const usage = chunks.map((chunk) => countOf(at(chunk, 'usage', 'completion_tokens')));
  const code = [...chunks, parse(text)].map(codeOf).find((found) => found !== undefined);
  return {
    deltas: pieces.length,
    characters: pieces.join('').length,
    completionTokens: Math.max(0, ...usage),
    finishReason: finish.find((reason): reason is string => typeof reason === 'string'),
    isDone: data.at(-1) === '[DONE]',
    code,
  };
}

/** Of a problem, or of OpenAI's envelope. */
export function codeOf(body: unknown): string | undefined {
  const code = at(body, 'code') ?? at(body, 'error', 'code');
  return typeof code === 'string' ? code : undefined;
}

function countOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
