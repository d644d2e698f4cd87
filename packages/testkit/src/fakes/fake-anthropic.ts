import { randomUUID } from 'node:crypto';
import { refuseMessagesRequest } from './anthropic-request.ts';
import { parseObject, type JsonObject } from './json-shape.ts';
import { beforeHeaders, play, promptTokensOf, TextSink, writeBytes, type Sink } from './play.ts';
import type { FakeControl, Scenario } from './scenario.ts';
import { ScriptedServer, sendJson, type Exchange } from './scripted-server.ts';

export interface FakeAnthropic extends FakeControl {
  /** Without `/v1`, as Anthropic's SDK takes it. */
  readonly baseUrl: string;
  readonly apiKey: string;
}

export interface FakeAnthropicOptions {
  /** The models that exist and how they answer; by default `fake-model` with a short text. */
  readonly models?: Readonly<Record<string, Scenario | readonly Scenario[]>>;
  readonly apiKey?: string;
}

const API_VERSION = '2023-06-01';

/** A small server that speaks Anthropic's messages, streamed and plain, as strictly as the original. */
export async function startFakeAnthropic(
  options: FakeAnthropicOptions = {},
): Promise<FakeAnthropic> {
  const apiKey = options.apiKey ?? `sk-ant-fake-${randomUUID()}`;
  const server: ScriptedServer = new ScriptedServer((exchange) => route(exchange, server, apiKey));
  server.scriptAll(options.models ?? { 'fake-model': {} });
  const baseUrl = await server.listen();
  return Object.assign(server, { baseUrl, apiKey });
}

async function route(exchange: Exchange, server: ScriptedServer, apiKey: string): Promise<void> {
  const { method, path } = exchange.record;
  const { headers } = exchange.request;
  if (headers['x-api-key'] !== apiKey) {
    const message =
      headers['x-api-key'] === undefined ? 'x-api-key header is required' : 'invalid x-api-key';
    sendError(exchange, 401, message);
    return;
  }
  if (headers['anthropic-version'] === undefined) {
    sendError(exchange, 400, 'anthropic-version: header is required');
    return;
  }
  if (headers['anthropic-version'] !== API_VERSION) {
    const message = `anthropic-version: "${String(headers['anthropic-version'])}" is not a valid version. You may need to update your API client.`;
    sendError(exchange, 400, message);
    return;
  }
  if (path !== '/v1/messages') {
    sendError(exchange, 404, 'Not found');
    return;
  }
  if (method !== 'POST') {
    sendError(exchange, 405, 'Method Not Allowed');
    return;
  }
  await createMessage(exchange, server);
}

async function createMessage(exchange: Exchange, server: ScriptedServer): Promise<void> {
  const type = exchange.request.headers['content-type'] ?? '';
  const body = /^application\/json\b/i.test(type) ? parseObject(exchange.bodyText) : undefined;
  exchange.record.body = body;
  if (body === undefined) {
    sendError(exchange, 400, 'The request body is not valid JSON');
    return;
  }
  const refusal = refuseMessagesRequest(body);
  if (refusal !== undefined) {
    sendError(exchange, 400, refusal);
    return;
  }

  const model = String(body.model);
  exchange.record.model = model;
  const scenario = server.nextScenario(model);
  if (scenario === undefined) {
    sendError(exchange, 404, `model: ${model}`);
    return;
  }
  await beforeHeaders(scenario, exchange, server);
  if (scenario.status !== undefined) {
    sendScriptedError(exchange, scenario, scenario.status);
    return;
  }
  const answer = body.stream === true ? streamAnswer : plainAnswer;
  await answer(exchange, server, scenario, body);
}

async function streamAnswer(
  exchange: Exchange,
  server: ScriptedServer,
  scenario: Scenario,
  body: JsonObject,
): Promise<void> {
  const send = (event: JsonObject & { type: string }): Promise<void> =>
    writeBytes(exchange, `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  const sink: Sink = {
    text: (text) =>
      send({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
    raw: (bytes) => writeBytes(exchange, bytes),
    streamError: (message) => send({ type: 'error', error: { type: 'overloaded_error', message } }),
  };

  exchange.record.status = 200;
  exchange.response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'request-id': `req_${randomUUID()}`,
  });
  const inputTokens = inputTokensOf(scenario, body);
  const message = messageEnvelope(body, [], null, { input_tokens: inputTokens, output_tokens: 1 });
  await send({ type: 'message_start', message });
  await send({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } });
  await send({ type: 'ping' });
  const played = await play(scenario, Number(body.max_tokens), exchange, server, sink);
  if (!played.over) {
    await send({ type: 'content_block_stop', index: 0 });
    const usage = usageOf(scenario, inputTokens, played.tokens);
    await send({
      type: 'message_delta',
      delta: { stop_reason: stopReason(played.finishReason), stop_sequence: null },
      ...(usage === undefined ? {} : { usage }),
    });
    await send({ type: 'message_stop' });
  }
  if (exchange.record.outcome === 'open') exchange.response.end();
}

async function plainAnswer(
  exchange: Exchange,
  server: ScriptedServer,
  scenario: Scenario,
  body: JsonObject,
): Promise<void> {
  const sink = new TextSink();
  const played = await play(scenario, Number(body.max_tokens), exchange, server, sink);
  if (played.over) return;
  if (sink.rawBody !== undefined) {
    sendJson(exchange, 200, sink.rawBody);
    return;
  }
  const usage = usageOf(scenario, inputTokensOf(scenario, body), played.tokens);
  const content = [{ type: 'text', text: sink.content }];
  const message = messageEnvelope(body, content, stopReason(played.finishReason), usage);
  sendJson(exchange, 200, message, { 'request-id': `req_${randomUUID()}` });
}

function messageEnvelope(
  body: JsonObject,
  content: readonly JsonObject[],
  reason: string | null,
  usage: JsonObject | undefined,
): JsonObject {
  return {
    id: `msg_${randomUUID()}`,
    type: 'message',
    role: 'assistant',
    model: body.model,
    content,
    stop_reason: reason,
    stop_sequence: null,
    ...(usage === undefined ? {} : { usage }),
  };
}

const stopReason = (reason: 'stop' | 'length'): string =>
  reason === 'stop' ? 'end_turn' : 'max_tokens';

function inputTokensOf(scenario: Scenario, body: JsonObject): number {
  if (scenario.usage !== 'omit' && scenario.usage?.promptTokens !== undefined) {
    return scenario.usage.promptTokens;
  }
  const contents = [body.system, ...(body.messages as JsonObject[]).map((m) => m.content)];
  const present = contents.filter((content) => content !== undefined && content !== '');
  return promptTokensOf(
    present.map((content) => (typeof content === 'string' ? content : JSON.stringify(content))),
  );
}

function usageOf(scenario: Scenario, inputTokens: number, tokens: number): JsonObject | undefined {
  if (scenario.usage === 'omit') return undefined;
  return {
    input_tokens: inputTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: scenario.usage?.completionTokens ?? tokens,
  };
}

const ERROR_TYPES: Readonly<Record<number, readonly [type: string, message: string]>> = {
  400: ['invalid_request_error', 'Bad request'],
  401: ['authentication_error', 'invalid x-api-key'],
  403: ['permission_error', 'Your API key does not have permission'],
  404: ['not_found_error', 'Not found'],
  405: ['invalid_request_error', 'Method Not Allowed'],
  429: ['rate_limit_error', 'This request would exceed your rate limit'],
  500: ['api_error', 'Internal server error'],
  529: ['overloaded_error', 'Overloaded'],
};

function sendScriptedError(exchange: Exchange, scenario: Scenario, status: number): void {
  const retryAfter = scenario.retryAfterSeconds;
  const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
  const [, usual] = ERROR_TYPES[status] ?? ['api_error', `Scripted error ${status}`];
  sendError(exchange, status, scenario.errorMessage ?? usual, headers);
}

function sendError(
  exchange: Exchange,
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const [type] = ERROR_TYPES[status] ?? ['api_error'];
  const requestId = `req_${randomUUID()}`;
  const body = { type: 'error', error: { type, message }, request_id: requestId };
  sendJson(exchange, status, body, { ...headers, 'request-id': requestId });
}
