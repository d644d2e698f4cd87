import { S2S_VERIFY_PATH, S2SClaims } from '@arrakis/contracts';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import type { FinnEvents } from '../../events.ts';
import { requireToken, tokenOf } from './authenticate.ts';
import type { S2SAuthService } from './service.ts';

const VerifyResponse = Type.Object({ kid: Type.String(), iss: S2SClaims.properties.iss });

/**
 * Tells whether a token would be let in. Runs and consumes nothing: a key rotation asks here with
 * a token signed by the new key before it switches.
 */
export function s2sAuthRoutes(deps: {
  readonly auth: S2SAuthService;
  readonly events: FinnEvents;
}): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      S2S_VERIFY_PATH,
      {
        onRequest: requireToken(deps.auth, deps.events),
        schema: { response: { 200: VerifyResponse } },
      },
      (request) => {
        const { kid, claims } = tokenOf(request);
        return { kid, iss: claims.iss };
      },
    );
    await Promise.resolve();
  };
}
