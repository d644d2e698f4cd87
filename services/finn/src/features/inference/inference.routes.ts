import {
  CONTRACT_VERSION,
  HEADERS,
  INFERENCE_PATH,
  InferenceRequest,
  InferenceResponse,
} from '@arrakis/contracts';
import { ProblemError } from '@arrakis/service-kit';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { FinnEvents } from '../../events.ts';
import { invalidToken, requireToken, tokenOf } from '../s2s-auth/authenticate.ts';
import type { S2SAuthService } from '../s2s-auth/service.ts';
import type { Refusal } from './refusal.domain.ts';
import { PlainAnswer } from './plain-answer.ts';
import type { InferenceService } from './service.ts';
import { SseAnswer } from './sse-answer.ts';

export interface InferenceRoutesDeps {
  readonly auth: S2SAuthService;
  readonly inference: InferenceService;
  readonly events: FinnEvents;
}

/** `POST /api/v1/inference`: the contract's one way to an answer, streamed or in one piece. */
export function addInferenceRoutes(app: FastifyInstance, deps: InferenceRoutesDeps): void {
  const { auth, events, inference } = deps;
  app.withTypeProvider<TypeBoxTypeProvider>().post(
    INFERENCE_PATH,
    {
      onRequest: [speakVersion, requireToken(auth, events)],
      schema: { body: InferenceRequest, response: { 200: InferenceResponse } },
    },
    async (request, reply) => {
      noteContractVersion(request, events);
      const answer = request.body.stream
        ? new SseAnswer(reply.raw, () => void reply.hijack())
        : new PlainAnswer(reply);
      try {
        const refusal = await inference.answer({
          claims: tokenOf(request).claims,
          request: request.body,
          answer,
          note: (fields) => Object.assign(request.wide, fields),
        });
        if (refusal !== undefined) throw asProblem(refusal);
      } catch (error) {
        // Nobody else would end a stream whose writer failed.
        if (answer.isCommitted) reply.raw.destroy();
        throw error;
      }
      return finished(reply);
    },
  );
}

/** The answer was written, or its caller left: in neither case has Fastify anything to add. */
function finished(reply: FastifyReply): FastifyReply {
  return reply.sent ? reply : reply.hijack();
}

function asProblem(refusal: Refusal): ProblemError {
  if (refusal.code === 'invalid_token') return invalidToken();
  const { code, detail, errors, retryAfterSeconds } = refusal;
  const headers =
    retryAfterSeconds === undefined ? undefined : { 'retry-after': String(retryAfterSeconds) };
  return new ProblemError({ code, detail, errors, headers });
}

/** On refusals too: freeside counts every answer under another version than its own. */
function speakVersion(_request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  reply.raw.setHeader(HEADERS.contractVersion, CONTRACT_VERSION);
  done();
}

/** Anything else in that header is the caller's secret, for all we know. */
const VERSION = /^\d{1,4}(?:\.\d{1,4}){2}$/;

/** Another version is a warning, not a refusal: the two sides are deployed one after the other. */
function noteContractVersion(request: FastifyRequest, events: FinnEvents): void {
  const version = request.headers[HEADERS.contractVersion];
  if (typeof version === 'string' && version !== CONTRACT_VERSION) {
    events.contractMismatch(VERSION.test(version) ? version : 'malformed', request.id);
  }
}
