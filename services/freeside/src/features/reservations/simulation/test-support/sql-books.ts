import { randomBytes, randomUUID } from 'node:crypto';
import { createPool, type Queryable } from '@arrakis/postgres';
import { createTestDatabase } from '@arrakis/testkit';
import { expect } from 'vitest';
import type { LedgerModel } from '../../ledger-model.domain.ts';
import type { HoldRequest } from '../../reservation.domain.ts';
import type { SettlementInput } from '../../settlement.domain.ts';
import { applyLedgerBatch } from '../../store.ts';
import { NFT_ID, openCommunity } from '../../test-support/ledger-fixture.ts';
import type { LedgerOperation } from '../ledger.domain.ts';
import { SIMULATED_COMMUNITIES, type SimulatedKey } from '../setting.domain.ts';
import { installVirtualClock } from './virtual-clock.ts';

/** The ledger in PostgreSQL under a virtual clock, for the very operations that a model applied. */
export interface SqlLedger {
  /** New communities and keys, with nothing in them. */
  open(keys: readonly SimulatedKey[]): Promise<SqlBooks>;
  close(): Promise<void>;
}

export async function createSqlLedger(): Promise<SqlLedger> {
  const database = await createTestDatabase();
  const onError = () => undefined;
  const pool = (url: string) => createPool({ url, max: 1, applicationName: 'simulation', onError });
  const admin = pool(database.adminUrl);
  // The clock is a setting of the session: one connection.
  const app = pool(database.appUrl);
  await installVirtualClock(admin);
  return {
    open: (keys) => SqlBooks.open(app, admin, keys),
    async close() {
      await app.end();
      await admin.end();
      await database.drop();
    },
  };
}

/** One history's part of it. Names of the history stand for ids of the database. */
export class SqlBooks {
  readonly #app: Queryable;
  readonly #owner: Queryable;
  readonly #ids = new Map<string, string>();
  readonly #names = new Map<string, string>();
  #nowMs = Number.NaN;

  private constructor(app: Queryable, owner: Queryable) {
    this.#app = app;
    this.#owner = owner;
  }

  static async open(
    app: Queryable,
    owner: Queryable,
    keys: readonly SimulatedKey[],
  ): Promise<SqlBooks> {
    const books = new SqlBooks(app, owner);
    for (const community of SIMULATED_COMMUNITIES) {
      const { communityId, apiKeyId } = await openCommunity(owner);
      books.#know(community, communityId);
      const own = keys.filter((key) => key.communityId === community);
      for (const key of own) books.#know(key.id, await addKey(owner, apiKeyId, key));
    }
    return books;
  }

  /** Applies it, and expects the same decisions. */
  async apply(operation: LedgerOperation): Promise<void> {
    await this.#setClock(operation.atMs);
    switch (operation.kind) {
      case 'batch': {
        const { settlements, holds, result } = operation;
        const actual = await applyLedgerBatch(
          this.#app,
          settlements.map((input) => this.#settlement(input)),
          holds.map((request) => this.#hold(request)),
        );
        expect(actual).toEqual(result);
        return;
      }
      case 'mint': {
        const { communityId, lot } = operation;
        const expiresAt = lot.expiresAtMs === undefined ? null : new Date(lot.expiresAtMs);
        const { rows } = await this.#app.query<{ lot_id: string }>(
          'SELECT lot_id FROM freeside.mint_lot($1, $2, $3, $4, $5)',
          [this.#id(communityId), lot.amountMicro, 'grant', randomUUID(), expiresAt],
        );
        this.#know(lot.id, rows[0]?.lot_id ?? '');
        return;
      }
      case 'revoke':
        await this.#owner.query(
          `UPDATE freeside.api_keys SET is_active = false, revoked_at = COALESCE(revoked_at, now()) WHERE id = $1`,
          [this.#id(operation.keyId)],
        );
        return;
      case 'expire':
        await this.#app.query('SELECT * FROM freeside.expire_lots(1000000)');
    }
  }

  /** Balances, lots, reservations and counters, one line each. Sets the clock for what comes next. */
  async lines(nextMs: number): Promise<string[]> {
    const communities = SIMULATED_COMMUNITIES.map((name) => this.#id(name));
    const { rows } = await this.#app.query<{ of: string; line: string }>(STATE, [
      communities,
      new Date(nextMs).toISOString(),
    ]);
    this.#nowMs = nextMs;
    const line = ({ of, line: rest }: { of: string; line: string }): string =>
      `${this.#names.get(of) ?? '?'} ${rest}`;
    return rows
      .filter(({ of }) => this.#names.has(of))
      .map(line)
      .sort();
  }

  /** Equations of its communities that don't hold. */
  async drift(): Promise<string[]> {
    const { rows } = await this.#app.query<{ line: string }>(
      `SELECT equation || ': ' || drift_micro AS line FROM freeside.conservation_full
       WHERE drift_micro <> 0 AND community_id = ANY ($1)`,
      [SIMULATED_COMMUNITIES.map((name) => this.#id(name))],
    );
    return rows.map((row) => row.line);
  }

  async #setClock(nowMs: number): Promise<void> {
    if (nowMs === this.#nowMs) return;
    this.#nowMs = nowMs;
    await this.#app.query(`SELECT set_config('simulation.now', $1, false)`, [
      new Date(nowMs).toISOString(),
    ]);
  }

  #settlement(input: SettlementInput): SettlementInput {
    return { ...input, reservationId: this.#id(input.reservationId) };
  }

  #hold(request: HoldRequest): HoldRequest {
    return {
      ...request,
      reservationId: this.#id(request.reservationId),
      communityId: this.#id(request.communityId),
      apiKeyId: this.#id(request.apiKeyId),
      nftId: NFT_ID,
    };
  }

  #know(name: string, id: string): void {
    this.#ids.set(name, id);
    this.#names.set(id, name);
  }

  #id(name: string): string {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = randomUUID();
    this.#know(name, id);
    return id;
  }
}

/** The same lines of a model. */
export function linesOf(model: LedgerModel): string[] {
  const lines: string[] = [];
  for (const community of model.communities.values()) {
    const { id, availableMicro, heldMicro, spentMicro, expiredMicro, writtenOffMicro } = community;
    const balances = { available: availableMicro, held: heldMicro, spent: spentMicro };
    const rest = { expired: expiredMicro, written_off: writtenOffMicro };
    for (const [kind, balance] of Object.entries({ ...balances, ...rest })) {
      lines.push(`${id} ${kind} ${balance}`);
    }
    for (const lot of community.lots) lines.push(`${lot.id} lot ${lot.remainingMicro}`);
  }
  for (const [id, each] of model.reservations) {
    const { status, holdMicro, chargeMicro, settledBy, relayed } = each;
    const noted = `${relayed.promptTokens}+${relayed.completionTokens}`;
    lines.push(`${id} ${status} ${holdMicro} ${chargeMicro} ${settledBy ?? '-'} ${noted}`);
  }
  for (const key of model.keys.values()) {
    lines.push(`${key.id} key ${String(key.isActive)} ${key.minuteRequests} ${key.dayTokens}`);
  }
  return lines.sort();
}

const STATE = `
  SELECT set_config('simulation.now', $2, false) AS of, '' AS line
  UNION ALL
  SELECT a.community_id::text AS of, a.kind || ' ' || a.balance_micro AS line
  FROM freeside.accounts a WHERE a.community_id = ANY ($1) AND a.kind NOT IN ('minted', 'absorbed')
  UNION ALL
  SELECT l.id::text, 'lot ' || l.remaining_micro FROM freeside.credit_lots l WHERE l.community_id = ANY ($1)
  UNION ALL
  SELECT b.id::text, concat_ws(' ', b.status, b.hold_micro, b.charge_micro, COALESCE(b.settled_by, '-'),
    b.relayed_prompt_tokens || '+' || b.relayed_completion_tokens)
  FROM freeside.budget_reservations b WHERE b.community_id = ANY ($1)
  UNION ALL
  SELECT k.id::text, concat_ws(' ', 'key', k.is_active::text, u.minute_requests, u.day_tokens)
  FROM freeside.api_keys k JOIN freeside.api_key_usage u ON u.key_id = k.id WHERE k.community_id = ANY ($1)`;

/** Another key of the same member, with limits of its own. */
async function addKey(owner: Queryable, sibling: string, key: SimulatedKey): Promise<string> {
  const letters = [...randomBytes(12)].map((byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]);
  const { rows } = await owner.query<{ id: string }>(
    `INSERT INTO freeside.api_keys (user_id, community_id, key_prefix, key_hash, key_salt, pepper_version,
       name, rate_limit_rpm, rate_limit_tpd)
     SELECT k.user_id, k.community_id, $2, k.key_hash, k.key_salt, k.pepper_version, k.name, $3, $4
     FROM freeside.api_keys k WHERE k.id = $1 RETURNING id`,
    [sibling, `lf_live_${letters.join('')}`, key.requestsPerMinute, key.tokensPerDay],
  );
  const id = rows[0]?.id;
  if (id === undefined) throw new Error('the key was not inserted');
  return id;
}
