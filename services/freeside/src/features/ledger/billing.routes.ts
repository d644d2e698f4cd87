import { RESERVATION_ID_PATTERN } from '@arrakis/contracts';
import { formatMicro } from '@arrakis/money';
import { ProblemError, errorResponses } from '@arrakis/service-kit';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type, type Static } from 'typebox';
import '../api-keys/require-api-key.ts';
import type { BillingService } from './service.ts';
import type { Balance, Receipt } from './billing.domain.ts';

export interface BillingRoutesDeps {
  readonly billing: BillingService;
  /** Lets in only a valid API key with the scope `read`. */
  readonly authenticate: (request: FastifyRequest) => Promise<void>;
}

const Micro = (description: string) =>
  Type.String({ pattern: '^(0|[1-9][0-9]*)$', description: `${description}, in micro-credits` });
const Timestamp = Type.String({ format: 'date-time' });
const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

const BalanceView = Type.Object({
  communityId: Type.String({ format: 'uuid' }),
  available: Micro('What new requests may use'),
  held: Micro('Worst cases of requests under way'),
  spent: Micro('What delivered answers have cost'),
  expired: Micro('What expired unused'),
  minted: Micro('All that was ever credited; available + held + spent + expired + refunded'),
  refunded: Micro('What refunds of payments took back'),
  debt: Micro('What refunds could not take back; later purchases pay it first'),
  lots: Type.Array(
    Type.Object({
      id: Type.String({ format: 'uuid' }),
      source: Type.String(),
      original: Micro('What the lot was minted with'),
      remaining: Micro('What is left of it, holds included'),
      expiresAt: Nullable(Timestamp),
      createdAt: Timestamp,
    }),
    { description: 'In the order in which they are used up; at most 100' },
  ),
});

const ReceiptView = Type.Object({
  requestId: Type.String({ format: 'uuid' }),
  status: Type.Enum(['reserved', 'streaming', 'finalized', 'released', 'orphan_released']),
  nftId: Type.String(),
  pool: Type.String({ description: 'The pool at whose price the hold was made' }),
  poolUsed: Nullable(Type.String({ description: 'The pool that answered and was charged' })),
  model: Nullable(Type.String()),
  personalityId: Nullable(Type.String()),
  priceVersion: Type.Integer(),
  hold: Micro('The worst case that was held'),
  charge: Micro('What the answer cost'),
  writtenOff: Micro('What the platform bore because the balance did not cover it'),
  promptTokens: Nullable(Type.Integer()),
  completionTokens: Nullable(Type.Integer()),
  settledBy: Nullable(
    Type.String({ description: 'The carrier whose count settled it; null while it is open' }),
  ),
  corrected: Type.Boolean({ description: 'A later count of higher authority replaced the first' }),
  createdAt: Timestamp,
  settledAt: Nullable(Timestamp),
});

const PROBLEMS = [400, 401, 403, 404, 405, 429, 431, 500, 503] as const;
const security = [{ apiKey: [] }];

/** `GET /api/v1/balance` and `GET /api/v1/usage/:requestId`, for the key's community. */
export function registerBillingRoutes(instance: FastifyInstance, deps: BillingRoutesDeps): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    '/api/v1/balance',
    {
      onRequest: deps.authenticate,
      schema: {
        tags: ['billing'],
        summary: 'What the community has, holds and has spent',
        security,
        response: { 200: BalanceView, ...errorResponses('problem', PROBLEMS) },
      },
    },
    async (request) => {
      const { communityId } = request.principal;
      const balance = await deps.billing.balance(communityId);
      if (balance === undefined) throw new ProblemError({ code: 'not_found' });
      return toBalanceView(communityId, balance);
    },
  );

  app.get(
    '/api/v1/usage/:requestId',
    {
      onRequest: deps.authenticate,
      schema: {
        tags: ['billing'],
        summary: 'The receipt of one request',
        security,
        params: Type.Object({ requestId: Type.String({ pattern: RESERVATION_ID_PATTERN }) }),
        response: { 200: ReceiptView, ...errorResponses('problem', [...PROBLEMS, 414]) },
      },
    },
    async (request) => {
      const { requestId } = request.params;
      const receipt = await deps.billing.receipt(request.principal.communityId, requestId);
      if (receipt === undefined) throw new ProblemError({ code: 'not_found' });
      return toReceiptView(receipt);
    },
  );
}

function toBalanceView(communityId: string, balance: Balance): Static<typeof BalanceView> {
  return {
    communityId,
    available: formatMicro(balance.availableMicro),
    held: formatMicro(balance.heldMicro),
    spent: formatMicro(balance.spentMicro),
    expired: formatMicro(balance.expiredMicro),
    minted: formatMicro(balance.mintedMicro),
    refunded: formatMicro(balance.refundedMicro),
    debt: formatMicro(balance.debtMicro),
    lots: balance.lots.map((lot) => ({
      id: lot.id,
      source: lot.source,
      original: formatMicro(lot.originalMicro),
      remaining: formatMicro(lot.remainingMicro),
      expiresAt: lot.expiresAt?.toISOString() ?? null,
      createdAt: lot.createdAt.toISOString(),
    })),
  };
}

function toReceiptView(receipt: Receipt): Static<typeof ReceiptView> {
  const { holdMicro, chargeMicro, writtenOffMicro, createdAt, settledAt, ...rest } = receipt;
  return {
    ...rest,
    status: receipt.status as Static<typeof ReceiptView>['status'],
    hold: formatMicro(holdMicro),
    charge: formatMicro(chargeMicro),
    writtenOff: formatMicro(writtenOffMicro),
    createdAt: createdAt.toISOString(),
    settledAt: settledAt?.toISOString() ?? null,
  };
}
