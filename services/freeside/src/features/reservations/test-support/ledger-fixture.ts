import { randomBytes, randomUUID } from 'node:crypto';
import type { Micro } from '@arrakis/money';
import { createPool, type Queryable } from '@arrakis/postgres';
import { createTestDatabase, type TestDatabase } from '@arrakis/testkit';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { createReservationEvents } from '../events.ts';
import { ReservationService, type ReservationServiceOptions } from '../service.ts';

export const NFT_ID = '1:0x00000000000000000000000000000000000000aa:7';

/** A database with the ledger, one pool as freeside_app and one as its owner. */
export interface LedgerFixture {
  readonly app: Queryable;
  readonly owner: Queryable;
  readonly database: TestDatabase;
  readonly newService: (options?: Partial<ReservationServiceOptions>) => ReservationService;
  readonly close: () => Promise<void>;
}

export async function createLedgerFixture(): Promise<LedgerFixture> {
  const database = await createTestDatabase();
  const onError = () => undefined;
  const app = createPool({ url: database.appUrl, max: 8, applicationName: 'test', onError });
  const owner = createPool({ url: database.migratorUrl, max: 4, applicationName: 'test', onError });
  const logger = createLogger({ service: 'test', level: 'silent' });
  return {
    app,
    owner,
    database,
    newService: (options = {}) =>
      new ReservationService({
        db: app,
        events: createReservationEvents(createRegistry('test'), logger),
        ...options,
      }),
    async close() {
      await app.end();
      await owner.end();
      await database.drop();
    },
  };
}

export interface Account {
  readonly communityId: string;
  readonly apiKeyId: string;
}

export async function openCommunity(
  owner: Queryable,
  limits: { rpm?: number; tpd?: number } = {},
): Promise<Account> {
  const tag = randomBytes(6).toString('hex');
  const community = await insert(
    owner,
    `INSERT INTO freeside.communities (slug, name, tier) VALUES ($1, $1, 'enterprise') RETURNING id`,
    [`c-${tag}`],
  );
  const member = await insert(
    owner,
    `INSERT INTO freeside.community_members (community_id, display_name) VALUES ($1, 'dev') RETURNING id`,
    [community],
  );
  const apiKeyId = await addKey(owner, community, member, limits);
  return { communityId: community, apiKeyId };
}

async function addKey(
  owner: Queryable,
  communityId: string,
  memberId: string,
  limits: { rpm?: number; tpd?: number },
): Promise<string> {
  const prefix = [...randomBytes(12)].map((byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]);
  return insert(
    owner,
    `INSERT INTO freeside.api_keys (user_id, community_id, key_prefix, key_hash, key_salt, pepper_version,
       name, rate_limit_rpm, rate_limit_tpd)
     VALUES ($1, $2, $3, $4, $5, 1, 'test', $6, $7) RETURNING id`,
    [
      memberId,
      communityId,
      `lf_live_${prefix.join('')}`,
      randomBytes(32),
      randomBytes(16),
      limits.rpm ?? 1_000_000,
      limits.tpd ?? 1_000_000_000_000,
    ],
  );
}

async function insert(owner: Queryable, text: string, values: unknown[]): Promise<string> {
  const { rows } = await owner.query<{ id: string }>(text, values);
  const id = rows[0]?.id;
  if (id === undefined) throw new Error('the insert returned no id');
  return id;
}

export async function mint(
  app: Queryable,
  communityId: string,
  amountMicro: Micro,
  expiresAt: Date | null = null,
): Promise<string> {
  const { rows } = await app.query<{ lot_id: string }>(
    'SELECT lot_id FROM freeside.mint_lot($1, $2, $3, $4, $5)',
    [communityId, amountMicro, 'grant', randomUUID(), expiresAt],
  );
  return rows[0]?.lot_id ?? '';
}

/** Moves the community's past back, which is the same as letting time pass. */
export async function letTimePass(
  owner: Queryable,
  communityId: string,
  seconds: number,
): Promise<void> {
  await owner.query(
    `UPDATE freeside.budget_reservations SET created_at = created_at - make_interval(secs => $2),
       progress_at = progress_at - make_interval(secs => $2),
       finalized_at = finalized_at - make_interval(secs => $2)
     WHERE community_id = $1`,
    [communityId, seconds],
  );
  await owner.query(
    `UPDATE freeside.credit_lots SET expires_at = expires_at - make_interval(secs => $2) WHERE community_id = $1`,
    [communityId, seconds],
  );
}

export async function balances(
  db: Queryable,
  communityId: string,
): Promise<Record<string, bigint>> {
  const { rows } = await db.query<{ kind: string; balance_micro: bigint }>(
    'SELECT kind, balance_micro FROM freeside.accounts WHERE community_id = $1',
    [communityId],
  );
  return Object.fromEntries(rows.map((row) => [row.kind, row.balance_micro]));
}

/** Equations that don't hold, over all communities; empty when the books balance. */
export async function drift(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ line: string }>(
    `SELECT equation || ': ' || drift_micro AS line FROM freeside.conservation_full WHERE drift_micro <> 0`,
  );
  return rows.map((row) => row.line);
}
