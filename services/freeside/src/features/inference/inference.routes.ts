import { INFERENCE_PATH, LIMITS, SSE_CONTENT_TYPE } from '@arrakis/contracts';
import { errorResponses } from '@arrakis/service-kit';
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  onRequestAsyncHookHandler,
} from 'fastify';
import { signalOfClient } from './client-stream.ts';
import { abandon, answerHeaders, describe, openClientStream, problemOf } from './http-answer.ts';
import { InferenceAnswer, InferenceBody } from './inference.schema.ts';
import type { InferenceCommand } from './inference.domain.ts';
import type { InferenceService } from './inference.service.ts';
import { limitHeaders } from './limit-headers.domain.ts';
import { PassthroughEncoder } from './passthrough-encoder.ts';
import type { PromptInput } from './prompt.domain.ts';
import type { Refusal } from './refusal.domain.ts';
import { API_KEY, KEY_ERRORS, jsonOrStream } from './route-schemas.ts';
import { InferenceEvent } from './stream-events.schema.ts';

export interface InferenceRoutesOptions {
  readonly inference: InferenceService;
  /** Lets in keys that may infer, and sets `request.principal`. */
  readonly requireKey: onRequestAsyncHookHandler;
  /** How long a streaming client may go without reading. */
  readonly clientIdleTimeoutMs: number;
}

const schema = {
  operationId: 'createInference',
  tags: ['inference'],
  summary: 'Ask an agent',
  description:
    'Holds the worst-case price, has the agent answer, and charges what was delivered. ' +
    'A stream carries `token` events, then `done` with the usage, or `error`.',
  security: API_KEY,
  body: { $ref: 'InferenceRequest#' },
  response: {
    200: jsonOrStream('The answer.', InferenceAnswer, InferenceEvent),
    ...errorResponses('problem', [...KEY_ERRORS, 402, 404, 405, 408, 413, 415, 422, 500]),
  },
};

/** `POST /api/v1/inference`: our own API. */
export function registerInferenceRoutes(
  app: FastifyInstance,
  options: InferenceRoutesOptions,
): void {
  app.addSchema(InferenceBody);
  app.post<{ Body: InferenceBody }>(
    INFERENCE_PATH,
    { schema, onRequest: options.requireKey },
    async (request, reply) => {
      const input = readInput(request.body);
      if ('code' in input) throw problemOf(input, limitHeaders);
      const command = commandOf(request, input);
      return request.body.stream === true
        ? stream(options, command, request, reply)
        : answer(options, command, request, reply);
    },
  );
}

function commandOf(
  request: FastifyRequest<{ Body: InferenceBody }>,
  input: PromptInput,
): InferenceCommand {
  const { body } = request;
  return {
    api: 'inference',
    requestId: request.id,
    principal: request.principal,
    agent: body.nft_id,
    pool: body.pool,
    input,
    maxTokens: body.max_tokens ?? LIMITS.defaultMaxTokens,
  };
}

function readInput({ prompt, messages }: InferenceBody): PromptInput | Refusal {
  if (prompt !== undefined && messages !== undefined) {
    const reason = 'prompt and messages must not stand together';
    return {
      code: 'invalid_request',
      errors: ['/prompt', '/messages'].map((field) => ({ field, reason })),
    };
  }
  if (prompt !== undefined) return { prompt };
  if (messages !== undefined) return { messages };
  const reason = 'either prompt or messages is required';
  return { code: 'invalid_request', errors: [{ field: '/prompt', reason }] };
}

async function answer(
  { inference }: InferenceRoutesOptions,
  command: InferenceCommand,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const result = await inference.answer(command, signalOfClient(reply.raw));
  describe(request, result);
  if (result.kind === 'client_gone') return abandon(reply);
  if (result.kind === 'refused') throw problemOf(result.refusal, limitHeaders);
  const { head } = result;
  reply.headers(answerHeaders(head, limitHeaders)).type('application/json; charset=utf-8');
  return {
    id: command.requestId,
    ...result.answer,
    nft_id: head.nftId,
    pool: head.pool,
    personality_id: head.personalityId ?? null,
  };
}

async function stream(
  { inference, clientIdleTimeoutMs: idleTimeoutMs }: InferenceRoutesOptions,
  command: InferenceCommand,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  let headers: Record<string, string> = {};
  const io = { reply, idleTimeoutMs, contentType: SSE_CONTENT_TYPE };
  const client = openClientStream(io, () => headers);
  const result = await inference.stream(command, client, (head) => {
    headers = answerHeaders(head, limitHeaders);
    return new PassthroughEncoder();
  });
  describe(request, result);
  if (result.kind === 'client_gone') return abandon(reply);
  if (result.kind === 'refused') throw problemOf(result.refusal, limitHeaders);
  return reply;
}
