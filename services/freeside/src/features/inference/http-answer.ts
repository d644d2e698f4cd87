import { HEADERS } from '@arrakis/contracts';
import { ProblemError } from '@arrakis/service-kit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { INVALID_KEY_CHALLENGE } from '../api-keys/require-api-key.ts';
import type { LimitState } from '../reservations/reservation.domain.ts';
import { HttpClientStream } from './client-stream.ts';
import type { AnswerHead, AnswerResult } from './inference.domain.ts';
import type { StreamResult } from './inference.service.ts';
import type { Refusal } from './refusal.domain.ts';

export type LimitHeaders = (limits: LimitState) => Record<string, string>;

/** A refusal as the error handler renders it, with what the client may know of its limits. */
export function problemOf(refusal: Refusal, limitHeaders: LimitHeaders): ProblemError {
  const { code, detail, errors, limit, limits, retryAfterSeconds } = refusal;
  return new ProblemError({
    code,
    detail,
    errors,
    limit,
    headers: {
      ...(limits === undefined ? {} : limitHeaders(limits)),
      ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
      ...(code === 'invalid_api_key' ? { 'www-authenticate': INVALID_KEY_CHALLENGE } : {}),
    },
  });
}

/** Headers that every answer has, streamed or not. */
export function answerHeaders(
  head: AnswerHead,
  limitHeaders: LimitHeaders,
): Record<string, string> {
  return {
    [HEADERS.poolUsed]: head.pool,
    ...(head.personalityId === undefined ? {} : { [HEADERS.personalityId]: head.personalityId }),
    [HEADERS.contractVersion]: head.contractVersion,
    ...limitHeaders(head.limits),
    'cache-control': 'no-store',
  };
}

export interface StreamIo {
  readonly reply: FastifyReply;
  readonly idleTimeoutMs: number;
  readonly contentType: string;
}

/** A stream over Fastify's reply, which it takes over when it begins. */
export function openClientStream(
  io: StreamIo,
  headers: () => Readonly<Record<string, string>>,
): HttpClientStream {
  const { reply } = io;
  return new HttpClientStream({
    response: reply.raw,
    idleTimeoutMs: io.idleTimeoutMs,
    headers: () => {
      reply.hijack();
      return {
        ...(reply.getHeaders() as Record<string, string>),
        ...headers(),
        'content-type': io.contentType,
        // Proxies that would otherwise collect the stream before passing it on.
        'x-accel-buffering': 'no',
      };
    },
  });
}

/** The client has left: there is nobody to answer, and nothing to send. */
export function abandon(reply: FastifyReply): FastifyReply {
  reply.hijack();
  reply.raw.destroy();
  return reply;
}

/** What the request's one log line tells of an inference. Never texts. */
export function describe(request: FastifyRequest, result: AnswerResult | StreamResult): void {
  Object.assign(request.wide, { communityId: request.principal.communityId, ...outcome(result) });
}

function outcome(result: AnswerResult | StreamResult): FastifyRequest['wide'] {
  switch (result.kind) {
    case 'refused':
      return { outcome: result.refusal.code };
    case 'client_gone':
      return { outcome: 'client_gone' };
    case 'answered':
      return {
        outcome: 'answered',
        pool: result.head.pool,
        promptTokens: result.answer.usage.prompt_tokens,
        completionTokens: result.answer.usage.completion_tokens,
      };
    case 'streamed': {
      const { end } = result;
      const pool = result.head.pool;
      if (end.kind !== 'done') return { outcome: end.kind, pool, completionTokens: end.tokens };
      return {
        outcome: 'answered',
        pool,
        promptTokens: end.usage.prompt_tokens,
        completionTokens: end.usage.completion_tokens,
      };
    }
  }
}
