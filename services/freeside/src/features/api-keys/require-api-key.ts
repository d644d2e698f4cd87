import { ProblemError } from '@arrakis/service-kit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ApiKeyPrincipal, ApiKeyScope } from './api-key.domain.ts';
import { ApiKeysUnavailableError, type ApiKeyService, type Authentication } from './service.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by {@link requireApiKey}; reading it on a route without that hook throws. */
    principal: ApiKeyPrincipal;
  }
}

const principals = new WeakMap<FastifyRequest, ApiKeyPrincipal>();

/** Makes `request.principal` known to an app; call once, before the routes. */
export function decoratePrincipal(app: FastifyInstance): void {
  app.decorateRequest('principal', {
    getter(this: FastifyRequest): ApiKeyPrincipal {
      const principal = principals.get(this);
      if (principal === undefined) throw new Error('the route does not require an API key');
      return principal;
    },
  });
}

/**
 * A hook that lets a request in only with a valid API key of the given scope. Use it as
 * `onRequest`, so that an anonymous body is never read; it fits `preHandler` as well.
 *
 * Throws ProblemError `unauthorized` or `invalid_api_key` (401), `forbidden` (403: the key lacks the
 * scope), `rate_limited` (429: too many failed attempts from this address) or
 * `service_unavailable` (503). That the header comes only once is the HTTP app's check.
 */
export function requireApiKey(
  service: ApiKeyService,
  options: { readonly scope: ApiKeyScope },
): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const result = await authenticate(service, request);
    if (!result.ok) throw refusal(result);
    if (!result.principal.scopes.includes(options.scope)) {
      throw new ProblemError({
        code: 'forbidden',
        detail: `the API key lacks the scope ${options.scope}`,
      });
    }
    principals.set(request, result.principal);
  };
}

async function authenticate(
  service: ApiKeyService,
  request: FastifyRequest,
): Promise<Authentication> {
  try {
    return await service.authenticate(request.headers.authorization, request.ip);
  } catch (error) {
    if (!(error instanceof ApiKeysUnavailableError)) throw error;
    throw new ProblemError({
      code: 'service_unavailable',
      detail: 'API keys cannot be verified at the moment; try again shortly',
      headers: { 'retry-after': '1' },
      cause: error,
    });
  }
}

/** RFC 6750: a 401 always says what would be accepted, here that the key itself is the fault. */
export const INVALID_KEY_CHALLENGE = 'Bearer realm="arrakis", error="invalid_token"';

function refusal(result: Exclude<Authentication, { readonly ok: true }>): ProblemError {
  switch (result.code) {
    case 'unauthorized':
      return new ProblemError({
        code: 'unauthorized',
        detail: 'expected "Authorization: Bearer <API key>", where the key begins with lf_',
        headers: { 'www-authenticate': 'Bearer realm="arrakis"' },
      });
    case 'invalid_api_key':
      return new ProblemError({
        code: 'invalid_api_key',
        detail: 'the key is unknown or was revoked',
        headers: { 'www-authenticate': INVALID_KEY_CHALLENGE },
      });
    case 'rate_limited':
      return new ProblemError({
        code: 'rate_limited',
        detail: 'too many failed attempts from this address',
        limit: {
          limit: 'failed authentications per address',
          remaining: '0',
          resetsAt: new Date(Date.now() + result.retryAfterSeconds * 1000).toISOString(),
          maxTokensThatFit: 0,
        },
        headers: { 'retry-after': String(result.retryAfterSeconds) },
      });
  }
}
