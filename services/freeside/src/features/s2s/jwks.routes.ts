import { JWKS_MAX_AGE_SECONDS, JWKS_PATH } from '@arrakis/contracts';
import { ProblemError, errorResponses } from '@arrakis/service-kit';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { ServedJwkSet, matchesEtag } from './jwks.domain.ts';
import { JwksUnavailableError, type JwksService, type RenderedKeySet } from './jwks.service.ts';

/** An answer without a body. */
const NotModified = Type.Unsafe<undefined>({
  type: 'null',
  description: 'The key set has not changed',
});

/** `GET /.well-known/jwks.json`: public, cacheable, and never anything but public halves. */
export function jwksRoutes(deps: { readonly jwks: JwksService }): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      JWKS_PATH,
      {
        schema: {
          summary: 'Public keys of service tokens',
          description: 'JSON Web Key Set (RFC 7517) of every key that verifies at present.',
          tags: ['keys'],
          response: {
            200: ServedJwkSet,
            304: NotModified,
            ...errorResponses('problem', [400, 405, 431, 500, 503]),
          },
        },
      },
      async (request, reply) => {
        const { set, etag } = await currentSet(deps.jwks);
        void reply.headers({
          'cache-control': `public, max-age=${JWKS_MAX_AGE_SECONDS}`,
          etag,
        });
        if (matchesEtag(request.headers['if-none-match'], etag)) return reply.code(304).send();
        return set;
      },
    );
    await Promise.resolve();
  };
}

async function currentSet(jwks: JwksService): Promise<RenderedKeySet> {
  try {
    return await jwks.current();
  } catch (error) {
    if (!(error instanceof JwksUnavailableError)) throw error;
    throw new ProblemError({
      code: 'service_unavailable',
      detail: 'the key set cannot be read at the moment',
      headers: { 'retry-after': '1' },
      cause: error,
    });
  }
}
