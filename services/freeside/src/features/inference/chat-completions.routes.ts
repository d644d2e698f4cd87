import { SSE_CONTENT_TYPE } from '@arrakis/contracts';
import { errorResponses } from '@arrakis/service-kit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ChatCompletionEncoder } from './chat-completion-encoder.ts';
import {
  readChatCompletion,
  type ChatCompletionBody,
  type ChatCompletionCommand,
} from './chat-completion.domain.ts';
import { ChatCompletion, ChatCompletionRequest } from './chat-completions.schema.ts';
import { signalOfClient } from './client-stream.ts';
import {
  abandon,
  answerHeaders,
  describe,
  openClientStream,
  problemOf,
  type LimitHeaders,
} from './http-answer.ts';
import type { InferenceRoutesOptions } from './inference.routes.ts';
import type { InferenceCommand } from './inference.domain.ts';
import { openaiLimitHeaders } from './limit-headers.domain.ts';
import { API_KEY, KEY_ERRORS, jsonOrStream } from './route-schemas.ts';
import { ChatCompletionEvent } from './stream-events.schema.ts';

const schema = {
  operationId: 'createChatCompletion',
  tags: ['openai'],
  summary: 'Create a chat completion',
  description:
    "OpenAI's API for its SDKs: the model is an agent, and errors come in OpenAI's envelope.",
  security: API_KEY,
  body: { $ref: 'ChatCompletionRequest#' },
  response: {
    200: jsonOrStream('The completion.', ChatCompletion, ChatCompletionEvent),
    ...errorResponses('openai', [...KEY_ERRORS, 402, 404, 405, 408, 413, 415, 422, 500]),
  },
};

/** `POST /v1/chat/completions`, as OpenAI's SDKs call it. */
export function registerChatCompletionRoutes(
  app: FastifyInstance,
  options: InferenceRoutesOptions,
): void {
  app.addSchema(ChatCompletionRequest);
  app.post<{ Body: ChatCompletionBody }>(
    '/v1/chat/completions',
    { schema, onRequest: options.requireKey },
    async (request, reply) => {
      const read = readChatCompletion(request.body);
      if (!read.ok) throw problemOf(read.refusal, limitHeaders);
      const { command } = read;
      return command.stream
        ? stream(options, command, request, reply)
        : answer(options, command, request, reply);
    },
  );
}

const limitHeaders: LimitHeaders = (limits) => openaiLimitHeaders(limits, Date.now());

function toInference(command: ChatCompletionCommand, request: FastifyRequest): InferenceCommand {
  return {
    api: 'chat_completions',
    requestId: request.id,
    principal: request.principal,
    agent: command.agent,
    pool: command.pool,
    input: { messages: command.messages },
    maxTokens: command.maxTokens,
  };
}

function identify(request: FastifyRequest): { id: string; created: number } {
  return { id: `chatcmpl-${request.id}`, created: Math.floor(Date.now() / 1000) };
}

async function answer(
  { inference }: InferenceRoutesOptions,
  command: ChatCompletionCommand,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const signal = signalOfClient(reply.raw);
  const result = await inference.answer(toInference(command, request), signal);
  describe(request, result);
  if (result.kind === 'client_gone') return abandon(reply);
  if (result.kind === 'refused') throw problemOf(result.refusal, limitHeaders);
  const { content, usage, finish_reason } = result.answer;
  reply.headers(answerHeaders(result.head, limitHeaders)).type('application/json; charset=utf-8');
  return {
    ...identify(request),
    object: 'chat.completion',
    model: command.model,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content, refusal: null },
        logprobs: null,
        finish_reason,
      },
    ],
    usage,
    system_fingerprint: null,
  };
}

async function stream(
  { inference, clientIdleTimeoutMs: idleTimeoutMs }: InferenceRoutesOptions,
  command: ChatCompletionCommand,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  let headers: Record<string, string> = {};
  const io = { reply, idleTimeoutMs, contentType: SSE_CONTENT_TYPE };
  const client = openClientStream(io, () => headers);
  const result = await inference.stream(toInference(command, request), client, (head) => {
    headers = answerHeaders(head, limitHeaders);
    const { model, includeUsage } = command;
    return new ChatCompletionEncoder({ ...identify(request), model, includeUsage });
  });
  describe(request, result);
  if (result.kind === 'client_gone') return abandon(reply);
  if (result.kind === 'refused') throw problemOf(result.refusal, limitHeaders);
  return reply;
}
