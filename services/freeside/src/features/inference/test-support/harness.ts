import { createPublicKey, randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { Pool as ModelPool, Tier } from '@arrakis/contracts';
import { createPool } from '@arrakis/postgres';
import { createLogger, createRegistry, Secret } from '@arrakis/service-kit';
import { S2STokenService } from '@arrakis/signing-keys';
import { createTestDatabase, findFreePort, generateSigningKey } from '@arrakis/testkit';
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import type { Registry } from 'prom-client';
import { buildApp } from '../../../app.ts';
import { AgentService } from '../../agents/service.ts';
import { createApiKeyEvents } from '../../api-keys/events.ts';
import { formatApiKey, generateApiKey } from '../../api-keys/api-key-format.domain.ts';
import { KeyHasher } from '../../api-keys/key-hash.ts';
import { parsePeppers } from '../../api-keys/pepper.domain.ts';
import { ApiKeyService } from '../../api-keys/service.ts';
import { mintLot } from '../../ledger/lot.service.ts';
import { BillingService } from '../../ledger/service.ts';
import { createPayments, type Payments } from '../../payments/create-payments.ts';
import { createReservationEvents } from '../../reservations/events.ts';
import type { Reservations } from '../../reservations/reservation.domain.ts';
import { ReservationService } from '../../reservations/service.ts';
import { JwksService } from '../../s2s/jwks.service.ts';
import { createInference, type Inference, type InferenceOptions } from '../create-inference.ts';
import type { CallClock } from '../finn-caller.ts';
import { FakeFinn } from './fake-finn.ts';

export const CONTRACT_ADDRESS = `0x${'ab'.repeat(20)}`;

export interface TestKey {
  readonly communityId: string;
  readonly userId: string;
  readonly keyId: string;
  readonly cleartext: string;
}

export interface ReservationRow {
  readonly id: string;
  readonly status: string;
  readonly settled_by: string | null;
  readonly charge_micro: bigint;
  readonly max_tokens: number;
  readonly prompt_tokens: number;
  readonly relayed_completion_tokens: number;
}

/** Ledger operations that fail while a fault is set. */
export interface LedgerFaults {
  reserve: boolean;
  settle: boolean;
  release: boolean;
  /** Set to hold a reserve back until it is called. */
  beforeReserve: (() => Promise<void>) | undefined;
}

/** Waits are cut short but remembered. */
export class TestClock implements CallClock {
  readonly waits: number[] = [];
  onSleep: (() => Promise<void>) | undefined;

  nowMs(): number {
    return performance.now();
  }
  random(): number {
    return 0.5;
  }
  async sleep(ms: number): Promise<void> {
    this.waits.push(ms);
    await this.onSleep?.();
    await new Promise((resolve) => setTimeout(resolve, Math.min(ms, 10)));
  }
}

export type HarnessOptions = Partial<Pick<InferenceOptions, 'breaker' | 'notePeriodMs'>> & {
  readonly finn?: Partial<InferenceOptions['finn']>;
  readonly clientIdleTimeoutMs?: number;
  readonly trustedProxies?: string[];
  /** A vendor of payments; nothing is sold without one. */
  readonly vendor?: { readonly url: string; readonly apiKey: string; readonly ipnSecret: string };
};

/** freeside's API over real HTTP, with the real ledger in PostgreSQL and a fake finn. */
export class Harness {
  readonly finn: FakeFinn;
  readonly db: Pool;
  readonly clock = new TestClock();
  readonly faults: LedgerFaults = {
    reserve: false,
    settle: false,
    release: false,
    beforeReserve: undefined,
  };
  readonly #hasher: KeyHasher;
  readonly #close: () => Promise<void>;
  app!: FastifyInstance;
  inference!: Inference;
  registry!: Registry;
  /** What is switched off. */
  readonly disabled = new Set<string>();
  url = '';

  private constructor(finn: FakeFinn, db: Pool, hasher: KeyHasher, close: () => Promise<void>) {
    this.finn = finn;
    this.db = db;
    this.#hasher = hasher;
    this.#close = close;
  }

  static async start(options: HarnessOptions = {}): Promise<Harness> {
    const database = await createTestDatabase();
    const onError = (): void => undefined;
    const pool = (url: string): Pool =>
      createPool({ url, max: 4, applicationName: 'test', onError });
    const app = pool(database.appUrl);
    const owner = pool(database.migratorUrl);
    const signingKey = generateSigningKey();
    const finn = await new FakeFinn(createPublicKey(signingKey.privateKey)).start();
    const peppers = parsePeppers(`1:${randomBytes(32).toString('base64')}`);
    const harness = new Harness(finn, owner, new KeyHasher(peppers), async () => {
      await app.end();
      await owner.end();
      await database.drop();
    });
    const logger = createLogger({ service: 'freeside-api', level: 'silent' });
    harness.registry = createRegistry('freeside-api');
    const reservations = new ReservationService({
      db: app,
      events: createReservationEvents(harness.registry, logger),
    });
    const agents = new AgentService({ db: app });
    harness.inference = createInference({
      logger,
      registry: harness.registry,
      reservations: withFaults(reservations, harness.faults),
      agents,
      tokens: new S2STokenService({ keys: { current: () => signingKey } }),
      finn: {
        url: finn.url,
        connectTimeoutMs: 2_000,
        totalTimeoutMs: 10_000,
        idleTimeoutMs: 5_000,
        ...options.finn,
      },
      clock: harness.clock,
      ...(options.breaker === undefined ? {} : { breaker: options.breaker }),
      notePeriodMs: options.notePeriodMs ?? 2_000,
    });
    // Known before it listens: the vendor is told where its notices go.
    const port = await findFreePort();
    harness.app = await buildApp({
      logger,
      registry: harness.registry,
      isDraining: () => false,
      trustedProxies: options.trustedProxies,
      apiKeys: new ApiKeyService({
        db: app,
        peppers,
        events: createApiKeyEvents(harness.registry, logger),
      }),
      agents,
      inference: harness.inference.service,
      jwks: new JwksService({
        db: app,
        events: { jwksLoaded: () => undefined, jwksLoadFailed: () => undefined },
        activeKid: () => signingKey.kid,
      }),
      billing: new BillingService(app),
      payments: harness.#payments(app, port, options.vendor),
      clientIdleTimeoutMs: options.clientIdleTimeoutMs ?? 5_000,
    });
    await harness.app.listen({ host: '127.0.0.1', port });
    harness.url = `http://127.0.0.1:${(harness.app.server.address() as AddressInfo).port}`;
    return harness;
  }

  async stop(): Promise<void> {
    await this.app.close();
    await this.inference.close();
    await this.finn.stop();
    await this.#close();
  }

  /** A community with credits and a key. */
  async openCommunity(
    options: {
      readonly micro?: bigint;
      readonly environment?: 'live' | 'test';
      readonly rpm?: number;
      readonly tpd?: number;
    } = {},
  ): Promise<TestKey> {
    const slug = `c-${randomBytes(6).toString('hex')}`;
    const communityId = await this.#insert(
      `INSERT INTO freeside.communities (slug, name, tier) VALUES ($1, $1, 'enterprise') RETURNING id`,
      [slug],
    );
    const userId = await this.#insert(
      `INSERT INTO freeside.community_members (community_id, display_name) VALUES ($1, 'dev') RETURNING id`,
      [communityId],
    );
    const amountMicro = options.micro ?? 100_000_000n;
    if (amountMicro > 0n) {
      const source = 'seed' as const;
      await mintLot(this.db, {
        communityId,
        amountMicro,
        source,
        sourceRef: slug,
        expiresAt: null,
      });
    }
    const key = generateApiKey(options.environment ?? 'live', randomBytes);
    const { keyHash, keySalt, pepperVersion } = this.#hasher.hash(key.secret);
    const { rpm = 10_000, tpd = 1_000_000_000 } = options;
    const keyId = await this.#insert(
      `INSERT INTO freeside.api_keys (user_id, community_id, key_prefix, key_hash, key_salt,
         pepper_version, name, rate_limit_rpm, rate_limit_tpd)
       VALUES ($1, $2, $3, $4, $5, $6, 'test', $7, $8) RETURNING id`,
      [userId, communityId, key.keyPrefix, keyHash, keySalt, pepperVersion, rpm, tpd],
    );
    return { communityId, userId, keyId, cleartext: formatApiKey(key) };
  }

  async revoke(key: TestKey): Promise<void> {
    await this.db.query(
      'UPDATE freeside.api_keys SET is_active = false, revoked_at = now() WHERE id = $1',
      [key.keyId],
    );
  }

  async addAgent(
    key: TestKey,
    slug: string,
    options: { readonly tier?: Tier; readonly preferredPool?: ModelPool } = {},
  ): Promise<string> {
    const tokenId = BigInt(`0x${randomBytes(6).toString('hex')}`).toString();
    const nftId = `1:${CONTRACT_ADDRESS}:${tokenId}`;
    await this.db.query(
      `INSERT INTO freeside.nfts (id, community_id, slug, tier) VALUES ($1, $2, $3, $4)`,
      [nftId, key.communityId, slug, options.tier ?? 'standard'],
    );
    await this.db.query(
      `INSERT INTO freeside.personality_configs (nft_id, preferred_pool) VALUES ($1, $2)`,
      [nftId, options.preferredPool ?? null],
    );
    return nftId;
  }

  post(path: string, key: TestKey, body: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key.cleartext}`,
        'content-type': 'application/json',
      },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
    });
  }

  async reservation(id: string): Promise<ReservationRow | undefined> {
    const { rows } = await this.db.query<ReservationRow>(
      'SELECT * FROM freeside.budget_reservations WHERE id = $1',
      [id],
    );
    return rows[0];
  }

  async reservations(key: TestKey): Promise<readonly ReservationRow[]> {
    const { rows } = await this.db.query<ReservationRow>(
      'SELECT * FROM freeside.budget_reservations WHERE community_id = $1 ORDER BY id',
      [key.communityId],
    );
    return rows;
  }

  /** What the community has and what is held. */
  async balances(key: TestKey): Promise<{ available: bigint; held: bigint }> {
    const { rows } = await this.db.query<{ kind: string; balance_micro: bigint }>(
      'SELECT kind, balance_micro FROM freeside.accounts WHERE community_id = $1',
      [key.communityId],
    );
    const of = (kind: string): bigint => rows.find((row) => row.kind === kind)?.balance_micro ?? 0n;
    return { available: of('available'), held: of('held') };
  }

  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const metric = await this.registry.getSingleMetric(name)?.get();
    const value = metric?.values.find((one) =>
      Object.entries(labels).every(([label, wanted]) => one.labels[label] === wanted),
    );
    return value?.value ?? 0;
  }

  /** Answers of the documented routes so far whose status `/openapi.json` doesn't tell of. */
  async undocumentedAnswers(): Promise<readonly string[]> {
    const { paths = {} } = this.app.swagger() as { paths?: Record<string, Documented> };
    const counted = await this.registry.getSingleMetric('http_requests_total')?.get();
    return (counted?.values ?? []).flatMap(({ labels }) => {
      const [method, route, status] = [labels.method, labels.route, labels.status].map(String);
      const operations = paths[(route ?? '').replace(/:(\w+)/g, '{$1}')];
      const documented = operations?.[(method ?? '').toLowerCase()]?.responses;
      // 499 is a client that left: nothing was answered.
      if (documented === undefined || status === '499') return [];
      return Object.hasOwn(documented, status ?? '') ? [] : [`${method} ${route} ${status}`];
    });
  }

  #payments(db: Pool, port: number, vendor: HarnessOptions['vendor']): Payments {
    return createPayments({
      db,
      registry: this.registry,
      logger: createLogger({ service: 'freeside-api', level: 'silent' }),
      flags: { isEnabled: (name) => !this.disabled.has(name) },
      config: {
        baseUrl: vendor?.url ?? 'http://127.0.0.1:9',
        publicUrl: `http://127.0.0.1:${port}`,
      },
      secrets: {
        apiKey: vendor && new Secret(vendor.apiKey),
        ipnSecret: vendor && new Secret(vendor.ipnSecret),
        email: undefined,
        password: undefined,
      },
    });
  }

  async #insert(text: string, values: unknown[]): Promise<string> {
    const { rows } = await this.db.query<{ id: string }>(text, values);
    if (rows[0] === undefined) throw new Error('the insert returned no id');
    return rows[0].id;
  }
}

type Documented = Record<string, { readonly responses?: object } | undefined>;

const LOST = (): Error => Object.assign(new Error('connection lost'), { code: 'ECONNRESET' });

function withFaults(real: Reservations, faults: LedgerFaults): Reservations {
  return {
    async reserve(request) {
      await faults.beforeReserve?.();
      if (faults.reserve) throw LOST();
      return real.reserve(request);
    },
    noteProgress: (progress) => real.noteProgress(progress),
    async settle(settlement) {
      if (faults.settle) throw LOST();
      await real.settle(settlement);
    },
    async release(reservationId, reason) {
      if (faults.release) throw LOST();
      await real.release(reservationId, reason);
    },
  };
}
