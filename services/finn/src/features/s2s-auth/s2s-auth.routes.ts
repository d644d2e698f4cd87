import { S2S_VERIFY_PATH, S2SClaims } from '@arrakis/contracts';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { FinnEvents } from '../../events.ts';
import { requireToken, tokenOf } from './authenticate.ts';
import type { S2SAuthService } from './service.ts';

const VerifyResponse = Type.Object({ kid: Type.String(), iss: S2SClaims.properties.iss });

export interface S2SAuthRoutesDeps {
  readonly auth: S2SAuthService;
  readonly events: FinnEvents;
}

/**
 * `POST /api/v1/s2s/verify`: whether a token would be let in. Runs and consumes nothing: a key
 * rotation asks here with a token signed by the new key before it switches.
 */
export function addS2SAuthRoutes(app: FastifyInstance, { auth, events }: S2SAuthRoutesDeps): void {
  app
    .withTypeProvider<TypeBoxTypeProvider>()
    .post(
      S2S_VERIFY_PATH,
      { onRequest: requireToken(auth, events), schema: { response: { 200: VerifyResponse } } },
      (request) => {
        const { kid, claims } = tokenOf(request);
        return { kid, iss: claims.iss };
      },
    );
}
