import { randomUUID } from 'node:crypto';
import { parseObject, type JsonObject } from './json-shape.ts';
import { refuseChatRequest, type OpenAIError } from './openai-request.ts';
import {
  beforeHeaders,
  play,
  promptTokensOf,
  TextSink,
  writeBytes,
  type Played,
  type Sink,
} from './play.ts';
import type { FakeControl, Scenario } from './scenario.ts';
import { ScriptedServer, sendJson, type Exchange } from './scripted-server.ts';

export interface FakeOpenAI extends FakeControl {
  /** With `/v1`, as OpenAI's SDK takes it. */
  readonly baseUrl: string;
  readonly apiKey: string;
}

export interface FakeOpenAIOptions {
  /** The models that exist and how they answer; by default `fake-model` with a short text. */
  readonly models?: Readonly<Record<string, Scenario | readonly Scenario[]>>;
  readonly apiKey?: string;
}

/**
 * A small server that speaks OpenAI's chat completions, streamed and plain, and refuses what
 * OpenAI refuses, so that a client with a sloppy request fails here and not in production.
 */
export async function startFakeOpenAI(options: FakeOpenAIOptions = {}): Promise<FakeOpenAI> {
  const apiKey = options.apiKey ?? `sk-fake-${randomUUID()}`;
  const server: ScriptedServer = new ScriptedServer((exchange) => route(exchange, server, apiKey));
  server.scriptAll(options.models ?? { 'fake-model': {} });
  const origin = await server.listen();
  return Object.assign(server, { baseUrl: `${origin}/v1`, apiKey });
}

async function route(exchange: Exchange, server: ScriptedServer, apiKey: string): Promise<void> {
  const { method, path } = exchange.record;
  const denied = refuseCredentials(exchange.request.headers.authorization, apiKey);
  if (denied !== undefined) {
    sendError(exchange, denied);
    return;
  }
  if (path === '/v1/models' && method === 'GET') {
    sendJson(exchange, 200, modelList(server));
    return;
  }
  if (path !== '/v1/chat/completions') {
    sendError(exchange, { status: 404, message: `Invalid URL (${method} ${path})` });
    return;
  }
  if (method !== 'POST') {
    const message = `Not allowed to ${method} on ${path}. (HINT: Perhaps you meant to use a different HTTP method?)`;
    sendError(exchange, { status: 405, message });
    return;
  }
  await completeChat(exchange, server);
}

function refuseCredentials(header: string | undefined, apiKey: string): OpenAIError | undefined {
  if (header === undefined || !/^Bearer \S+$/.test(header)) {
    const message =
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
    return { status: 401, message };
  }
  if (header === `Bearer ${apiKey}`) return undefined;
  return { status: 401, message: 'Incorrect API key provided.', code: 'invalid_api_key' };
}

async function completeChat(exchange: Exchange, server: ScriptedServer): Promise<void> {
  const type = exchange.request.headers['content-type'] ?? '';
  const body = /^application\/json\b/i.test(type) ? parseObject(exchange.bodyText) : undefined;
  exchange.record.body = body;
  if (body === undefined) {
    const message =
      'We could not parse the JSON body of your request. (HINT: This likely means you aren’t using your HTTP library correctly.)';
    sendError(exchange, { status: 400, message });
    return;
  }
  const refusal = refuseChatRequest(body);
  if (refusal !== undefined) {
    sendError(exchange, refusal);
    return;
  }

  const model = String(body.model);
  exchange.record.model = model;
  const scenario = server.nextScenario(model);
  if (scenario === undefined) {
    const message = `The model \`${model}\` does not exist or you do not have access to it.`;
    sendError(exchange, { status: 404, message, code: 'model_not_found' });
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
  const includeUsage = (body.stream_options as JsonObject | undefined)?.include_usage === true;
  const envelope = {
    id: `chatcmpl-${randomUUID()}`,
    object: 'chat.completion.chunk',
    created: Math.floor(Date.now() / 1000),
    model: String(body.model),
    service_tier: 'default',
    system_fingerprint: 'fp_fake',
  };
  const send = (json: JsonObject): Promise<void> =>
    writeBytes(exchange, `data: ${JSON.stringify(json)}\n\n`);
  const chunk = (delta: JsonObject, finishReason: string | null): Promise<void> =>
    send({
      ...envelope,
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
      ...(includeUsage ? { usage: null } : {}),
    });
  const sink: Sink = {
    text: (content) => chunk({ content }, null),
    raw: (bytes) => writeBytes(exchange, bytes),
    streamError: (message) => send({ error: errorBody({ status: 500, message }) }),
  };

  exchange.record.status = 200;
  exchange.response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'x-request-id': `req_${randomUUID()}`,
  });
  exchange.response.flushHeaders();
  await chunk({ role: 'assistant', content: '', refusal: null }, null);
  const played = await play(scenario, maxTokensOf(body), exchange, server, sink);
  if (!played.over) {
    await chunk({}, played.finishReason);
    const usage = usageOf(scenario, body, played);
    if (includeUsage && usage !== undefined) await send({ ...envelope, choices: [], usage });
    await writeBytes(exchange, 'data: [DONE]\n\n');
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
  const played = await play(scenario, maxTokensOf(body), exchange, server, sink);
  if (played.over) return;
  if (sink.rawBody !== undefined) {
    sendJson(exchange, 200, sink.rawBody);
    return;
  }
  const usage = usageOf(scenario, body, played);
  sendJson(
    exchange,
    200,
    {
      id: `chatcmpl-${randomUUID()}`,
      object: 'chat.completion',
      created: Math.floor(Date.now() / 1000),
      model: body.model,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: sink.content, refusal: null, annotations: [] },
          logprobs: null,
          finish_reason: played.finishReason,
        },
      ],
      ...(usage === undefined ? {} : { usage }),
      service_tier: 'default',
      system_fingerprint: 'fp_fake',
    },
    { 'x-request-id': `req_${randomUUID()}` },
  );
}

function maxTokensOf(body: JsonObject): number {
  const limit = body.max_completion_tokens ?? body.max_tokens;
  return typeof limit === 'number' ? limit : Number.MAX_SAFE_INTEGER;
}

function usageOf(scenario: Scenario, body: JsonObject, played: Played): JsonObject | undefined {
  if (scenario.usage === 'omit') return undefined;
  const texts = (body.messages as JsonObject[]).map((message) =>
    typeof message.content === 'string' ? message.content : JSON.stringify(message.content),
  );
  const promptTokens = scenario.usage?.promptTokens ?? promptTokensOf(texts);
  const completionTokens = scenario.usage?.completionTokens ?? played.tokens;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
  };
}

const SCRIPTED_ERRORS: Readonly<Record<number, Omit<OpenAIError, 'status'>>> = {
  401: { message: 'Incorrect API key provided.', code: 'invalid_api_key' },
  403: { message: 'You are not allowed to sample from this model.', code: 'forbidden' },
  429: {
    message: 'Rate limit reached for requests. Please try again later.',
    type: 'requests',
    code: 'rate_limit_exceeded',
  },
  500: { message: 'The server had an error while processing your request.', type: 'server_error' },
  503: {
    message: 'The engine is currently overloaded, please try again later.',
    type: 'server_error',
  },
};

function sendScriptedError(exchange: Exchange, scenario: Scenario, status: number): void {
  const usual = SCRIPTED_ERRORS[status] ?? { message: `Scripted error ${status}.` };
  const message = scenario.errorMessage ?? usual.message;
  const retryAfter = scenario.retryAfterSeconds;
  const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
  sendError(exchange, { ...usual, status, message }, headers);
}

function sendError(
  exchange: Exchange,
  error: OpenAIError,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendJson(exchange, error.status, { error: errorBody(error) }, headers);
}

function errorBody(error: OpenAIError): JsonObject {
  return {
    message: error.message,
    type: error.type ?? 'invalid_request_error',
    param: error.param ?? null,
    code: error.code ?? null,
  };
}

function modelList(server: ScriptedServer): JsonObject {
  const data = server.models.map((id) => ({
    id,
    object: 'model',
    created: 1_700_000_000,
    owned_by: 'fake',
  }));
  return { object: 'list', data };
}
