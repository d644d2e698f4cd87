import { errorResponses } from '@arrakis/service-kit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { SIGNATURE_HEADER } from './ipn-signature.ts';
import type { WebhookService } from './webhook.service.ts';

export interface WebhookRoutesDeps {
  readonly payments: { readonly webhook: WebhookService };
}

/** The vendor's notices have about one kilobyte. */
const BODY_LIMIT_BYTES = 16 * 1024;

const schema = {
  operationId: 'receivePaymentNotice',
  tags: ['payments'],
  summary: 'Notices of NOWPayments',
  description:
    'Signed by `x-nowpayments-sig`: the HMAC-SHA512 of the body as it came, or of the body with ' +
    'the members of every object sorted by name. 200 after the notice is committed; sending one again is harmless.',
  headers: Type.Object({
    [SIGNATURE_HEADER]: Type.Optional(
      Type.String({ description: '128 hexadecimal digits; a post without it is refused with 401' }),
    ),
  }),
  response: {
    200: Type.Object({
      outcome: Type.Enum(['advanced', 'bound', 'repeat', 'stale', 'superseded', 'review']),
    }),
    ...errorResponses('problem', [400, 401, 404, 405, 408, 413, 415, 429, 431, 500, 503]),
  },
};

/** `POST /api/crypto/webhook`, in a scope of its own: its body stays the bytes that were signed. */
export function webhookRoutes(deps: WebhookRoutesDeps): (app: FastifyInstance) => Promise<void> {
  return (app) => {
    app.removeContentTypeParser('application/json');
    app.addContentTypeParser<Buffer>(
      'application/json',
      { parseAs: 'buffer' },
      (_request, raw, done) => done(null, raw),
    );
    app.post(
      '/api/crypto/webhook',
      {
        schema,
        bodyLimit: BODY_LIMIT_BYTES,
        onRequest: (request, _reply, done) => {
          const bodyBytes = Number(request.headers['content-length'] ?? Number.NaN);
          deps.payments.webhook.admit({ ...whoAndSignature(request), bodyBytes });
          done();
        },
      },
      async (request) => {
        const outcome = await deps.payments.webhook.receive({
          ...whoAndSignature(request),
          raw: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
        });
        return { outcome };
      },
    );
    return Promise.resolve();
  };
}

function whoAndSignature(request: FastifyRequest) {
  const header = request.headers[SIGNATURE_HEADER];
  // Given twice, Node joins them, and neither is the signature.
  return { remoteAddress: request.ip, signature: typeof header === 'string' ? header : undefined };
}
