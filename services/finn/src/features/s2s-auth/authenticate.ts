import type { FastifyInstance, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import { ProblemError } from '@arrakis/service-kit';
import { inSpan } from '@arrakis/telemetry';
import type { FinnEvents } from '../../events.ts';
import type { S2SAuthService, VerifiedToken } from './service.ts';

declare module 'fastify' {
  interface FastifyRequest {
    s2sToken: VerifiedToken | null;
  }
}

const CHALLENGE = { 'www-authenticate': 'Bearer realm="loa-finn", error="invalid_token"' } as const;

/** Lets requests carry the token they were let in with. Once per app, before its routes. */
export function decorateWithToken(app: FastifyInstance): void {
  app.decorateRequest('s2sToken', null);
}

/**
 * Verifies before the body is read, so that a stranger's body is never parsed. From here on the
 * request goes by the reservation's id, in its log lines and in its answer.
 */
export function requireToken(auth: S2SAuthService, events: FinnEvents): onRequestAsyncHookHandler {
  return async (request, reply) => {
    const verification = await inSpan('verify token', {}, async (span) => {
      const result = await auth.verify(request.headers.authorization);
      if (!result.ok) span.fail(result.code);
      return result;
    });
    if (verification.ok) {
      request.s2sToken = verification.token;
      request.id = verification.token.claims.budget_reservation_id;
      request.wide.reservationId = request.id;
      reply.raw.setHeader('x-request-id', request.id);
      return;
    }
    if (verification.code === 'service_unavailable') {
      throw new ProblemError({
        code: 'service_unavailable',
        detail: 'No verification keys are at hand yet.',
        headers: { 'retry-after': '1' },
      });
    }
    events.tokenRejected(verification.reason, request.id);
    throw invalidToken();
  };
}

/** The token that {@link requireToken} let in. */
export function tokenOf(request: FastifyRequest): VerifiedToken {
  if (request.s2sToken === null) throw new Error('the route does not require a token');
  return request.s2sToken;
}

/** One answer to every bad token: it tells nothing about what was wrong. */
export function invalidToken(): ProblemError {
  return new ProblemError({ code: 'invalid_token', headers: CHALLENGE });
}
