import { formatMicro } from '@arrakis/money';
import { ProblemError, errorResponses } from '@arrakis/service-kit';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type, type Static } from 'typebox';
import '../api-keys/require-api-key.ts';
import { PAYMENT_STATUSES } from './payment-state.domain.ts';
import type { CreditPack, Payment } from './payment.domain.ts';
import type { PaymentService } from './service.ts';

export interface PaymentRoutesDeps {
  readonly payments: { readonly service: PaymentService };
  /** Lets in only a valid API key with the scope `read`. */
  readonly authenticate: (request: FastifyRequest) => Promise<void>;
}

const Micro = (description: string) => Type.String({ pattern: '^(0|[1-9][0-9]*)$', description });
const Timestamp = Type.String({ format: 'date-time' });
const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

const PackView = Type.Object({
  id: Type.String({ description: 'What `POST /api/v1/payments` takes as `pack`' }),
  name: Type.String(),
  version: Type.Integer({ minimum: 1 }),
  price: Micro('In micro-dollars'),
  credits: Micro('In micro-credits, bonus included'),
  bonus: Micro('The part of the credits that comes on top'),
});

const PaymentView = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    pack: Type.String(),
    packVersion: Type.Integer({ minimum: 1 }),
    status: Type.Enum([...PAYMENT_STATUSES]),
    price: Micro('In micro-dollars'),
    credits: Micro('What it credits, in micro-credits, bonus included'),
    bonus: Micro('The part of the credits that comes on top'),
    checkoutUrl: Nullable(Type.String({ description: 'Where to pay' })),
    payCurrency: Nullable(Type.String({ description: 'The coin that was chosen' })),
    inReview: Type.Boolean({ description: 'An operator looks at it' }),
    debt: Micro('What a refund could not take back and later purchases pay first'),
    creditedAt: Nullable(Timestamp),
    refundedAt: Nullable(Timestamp),
    createdAt: Timestamp,
    updatedAt: Timestamp,
  },
  { $id: 'Payment' },
);
/** Described once; every route refers to it. */
const PaymentRef = Type.Unsafe<Static<typeof PaymentView>>({ $ref: 'Payment#' });

const NewPayment = Type.Object(
  { pack: Type.String({ minLength: 1, maxLength: 31 }) },
  { additionalProperties: false },
);

const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.String({
    pattern: '^[\\x21-\\x7e]{1,200}$',
    description: 'Yours to choose; the same key never buys twice',
  }),
});

const KEY_PROBLEMS = [400, 401, 403, 405, 429, 431, 500, 503] as const;
const security = [{ apiKey: [] }];
const tags = ['payments'];

/** What can be bought, buying it, and what was bought, for the key's community. */
export function registerPaymentRoutes(instance: FastifyInstance, deps: PaymentRoutesDeps): void {
  instance.addSchema(PaymentView);
  registerPacks(instance, deps);
  registerBuying(instance, deps);
  registerReading(instance, deps);
}

function registerPacks(instance: FastifyInstance, deps: PaymentRoutesDeps): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();
  app.get(
    '/api/v1/credit-packs',
    {
      schema: {
        operationId: 'listCreditPacks',
        tags,
        summary: 'What can be bought',
        response: {
          200: Type.Object({ packs: Type.Array(PackView) }),
          ...errorResponses('problem', [400, 405, 431, 500, 503]),
        },
      },
    },
    async () => ({ packs: (await deps.payments.service.packs()).map(toPackView) }),
  );
}

function registerBuying(instance: FastifyInstance, deps: PaymentRoutesDeps): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();
  app.post(
    '/api/v1/payments',
    {
      onRequest: deps.authenticate,
      schema: {
        operationId: 'createPayment',
        tags,
        summary: 'Buy a pack',
        description:
          'Makes an invoice; pay it at `checkoutUrl`. Repeated with the same key it answers with the same payment. ' +
          'Twenty checkouts of an hour that nobody has opened are enough: 429. ' +
          'A key with the scope `read` may buy: nothing is charged until somebody pays, and it credits the key’s own community.',
        security,
        headers: IdempotencyHeaders,
        body: NewPayment,
        response: {
          200: PaymentRef,
          201: PaymentRef,
          ...errorResponses('problem', [...KEY_PROBLEMS, 404, 408, 409, 413, 415]),
        },
      },
    },
    async (request, reply) => {
      const { communityId, userId } = request.principal;
      const { payment, created } = await deps.payments.service.buy({
        communityId,
        userId,
        packId: request.body.pack,
        idempotencyKey: request.headers['idempotency-key'],
      });
      return reply.code(created ? 201 : 200).send(toPaymentView(payment));
    },
  );
}

function registerReading(instance: FastifyInstance, deps: PaymentRoutesDeps): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();
  app.get(
    '/api/v1/payments',
    {
      onRequest: deps.authenticate,
      schema: {
        operationId: 'listPayments',
        tags,
        summary: 'What was bought, newest first',
        security,
        querystring: Type.Object(
          {
            limit: Type.Optional(
              Type.String({
                pattern: '^([1-9][0-9]?|100)$',
                description: '1 to 100; 20 by default',
              }),
            ),
            cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
          },
          { additionalProperties: false },
        ),
        response: {
          200: Type.Object({
            payments: Type.Array(PaymentRef),
            nextCursor: Nullable(Type.String({ description: 'The `cursor` of the next page' })),
          }),
          ...errorResponses('problem', KEY_PROBLEMS),
        },
      },
    },
    async (request) => {
      const { limit = '20', cursor } = request.query;
      const { communityId } = request.principal;
      const page = await deps.payments.service.list(communityId, Number(limit), cursor);
      return { payments: page.payments.map(toPaymentView), nextCursor: page.nextCursor };
    },
  );

  app.get(
    '/api/v1/payments/:paymentId',
    {
      onRequest: deps.authenticate,
      schema: {
        operationId: 'getPayment',
        tags,
        summary: 'How one payment stands',
        security,
        params: Type.Object({
          paymentId: Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }),
        }),
        response: { 200: PaymentRef, ...errorResponses('problem', [...KEY_PROBLEMS, 404, 414]) },
      },
    },
    async (request) => {
      const { communityId } = request.principal;
      const payment = await deps.payments.service.find(communityId, request.params.paymentId);
      if (payment === undefined) throw new ProblemError({ code: 'not_found' });
      return toPaymentView(payment);
    },
  );
}

function toPackView(pack: CreditPack): Static<typeof PackView> {
  return {
    id: pack.id,
    name: pack.name,
    version: pack.version,
    price: formatMicro(pack.priceMicro),
    credits: formatMicro(pack.creditsMicro + pack.bonusMicro),
    bonus: formatMicro(pack.bonusMicro),
  };
}

function toPaymentView(payment: Payment): Static<typeof PaymentView> {
  return {
    id: payment.id,
    pack: payment.packId,
    packVersion: payment.packVersion,
    status: payment.status,
    price: formatMicro(payment.priceMicro),
    credits: formatMicro(payment.creditsMicro + payment.bonusMicro),
    bonus: formatMicro(payment.bonusMicro),
    checkoutUrl: payment.checkoutUrl,
    payCurrency: payment.payCurrency,
    inReview: payment.inReview,
    debt: formatMicro(payment.debtMicro),
    creditedAt: payment.creditedAt?.toISOString() ?? null,
    refundedAt: payment.refundedAt?.toISOString() ?? null,
    createdAt: payment.createdAt.toISOString(),
    updatedAt: payment.updatedAt.toISOString(),
  };
}
