import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Head } from '@arrakis/audit';
import { createPool } from '@arrakis/postgres';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { mint, openCommunity } from '../reservations/test-support/ledger-fixture.ts';
import { CheckpointSigner } from './checkpoint-signer.ts';
import { createAudit } from './create-audit.ts';
import { createAuditEvents } from './events.ts';
import { createAuditFixture, type AuditFixture } from './test-support/audit-fixture.ts';

const PATIENCE = { timeout: 15_000 };
const RUNBOOK = resolve(import.meta.dirname, '../../../../../docs/runbooks/audit-trail-broken.md');

let fixture: AuditFixture;
let communityId: string;
beforeEach(async () => {
  fixture = await createAuditFixture();
  ({ communityId } = await openCommunity(fixture.owner));
});
afterEach(async () => {
  await fixture.close();
});

const newSigner = () =>
  new CheckpointSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);

interface LogLine {
  readonly msg: string;
  readonly sequence?: string;
  readonly hash?: string;
  readonly kid?: string;
}

/** The service of one worker, what its metrics say and what it has logged. */
function worker(signer?: CheckpointSigner, anchor?: Head) {
  const registry = createRegistry('test');
  const lines: LogLine[] = [];
  const destination = { write: (text: string) => void lines.push(JSON.parse(text) as LogLine) };
  const logger = createLogger({ service: 'test', level: 'info', destination });
  const audit = fixture.newAudit({
    events: createAuditEvents(registry, logger),
    ...(signer === undefined ? {} : { signer }),
    ...(anchor === undefined ? {} : { anchor }),
  });
  const metric = async (name: string) =>
    (await registry.getSingleMetric(`freeside_audit_${name}`)?.get())?.values[0]?.value;
  return { audit, metric, lines };
}

async function seal(amount: bigint): Promise<void> {
  await mint(fixture.app, communityId, amount);
  await fixture.newAudit().seal();
}

async function withKeyFile<T>(text: string, use: (file: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'audit-key-'));
  try {
    const file = join(dir, 'key.pem');
    await writeFile(file, text, { mode: 0o600 });
    return await use(file);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** As somebody would who has the server itself: triggers off, rows changed, triggers on. */
async function tamper(statement: string): Promise<void> {
  const admin = createPool({
    url: fixture.database.adminUrl,
    max: 1,
    applicationName: 'test',
    onError: () => undefined,
  });
  try {
    await admin.query('SET session_replication_role = replica');
    await admin.query(statement);
  } finally {
    await admin.end();
  }
}

describe('a worker with a key', () => {
  it('signs what it has checked, and the verifier accepts it', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const service = await withKeyFile(pem, (file) =>
      createAudit(
        { keyFile: file },
        {
          db: fixture.pool,
          registry: createRegistry('test'),
          logger: createLogger({ service: 'test', level: 'silent' }),
        },
      ),
    );
    await seal(5n);
    await seal(6n);
    expect(await service.check()).toBe(2);
    const spki = publicKey.export({ format: 'pem', type: 'spki' }).toString();
    await withKeyFile(spki, async (file) => {
      expect(await fixture.verify(['--require-signature', '--key', file])).toMatchObject({
        code: 0,
        said: expect.stringContaining('1 of 2 checkpoints are signed') as string,
      });
    });
  });

  it('goes on from what it signed last, also as another process', async () => {
    const signer = newSigner();
    await seal(5n);
    expect(await worker(signer).audit.check()).toBe(1);
    await seal(6n);
    const { audit, metric } = worker(signer);
    expect(await audit.check()).toBe(1);
    expect(await metric('signed_sequence')).toBe(4);
    expect(await audit.check()).toBe(0);
  });

  it('begins at the beginning with a new key', async () => {
    await seal(5n);
    await worker(newSigner()).audit.check();
    await seal(6n);
    expect(await worker(newSigner()).audit.check()).toBe(2);
  });

  it('does not sign a trail that was changed behind what it has seen', async () => {
    const { audit, metric } = worker(newSigner());
    await seal(5n);
    await audit.check();
    expect(await metric('broken')).toBe(0);
    await mint(fixture.app, communityId, 6n);
    await tamper(`UPDATE freeside.audit_state SET hash = decode(repeat('ab', 32), 'hex')`);
    await fixture.newAudit().seal();
    await audit.check();
    expect(await metric('broken')).toBe(1);
    expect(await metric('signed_sequence')).toBe(2);
    expect(await fixture.verify()).toMatchObject({
      code: 1,
      said: expect.stringMatching(/^broken at line 4 \(sequence 3, hash\)/) as string,
    });
  });

  it('does not go on from a signature that is not its own', async () => {
    const signer = newSigner();
    await seal(5n);
    await fixture.app.query('SELECT freeside.sign_audit_checkpoint(2, $1, $2)', [
      signer.key.kid,
      Buffer.alloc(64, 1),
    ]);
    const { audit, metric } = worker(signer);
    await audit.check();
    expect(await metric('broken')).toBe(1);
  });

  it('signs on once the owner has removed a false signature as the runbook says', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const signer = new CheckpointSigner(privateKey);
    await seal(5n);
    await worker(signer).audit.check();
    await seal(6n);
    await fixture.app.query('SELECT freeside.sign_audit_checkpoint(4, $1, $2)', [
      signer.key.kid,
      Buffer.alloc(64, 1),
    ]);
    const spki = publicKey.export({ format: 'pem', type: 'spki' }).toString();
    await withKeyFile(spki, async (file) => {
      expect(await fixture.verify(['--key', file])).toMatchObject({
        code: 1,
        said: expect.stringMatching(/\(sequence 4, signature\)/) as string,
      });
      expect(await fixture.verify()).toMatchObject({ code: 0 });
      const page = await readFile(RUNBOOK, 'utf8');
      const [, removal = ''] = /^```sql\n(BEGIN;[^]*?)^```/m.exec(page) ?? [];
      await fixture.owner.query({ text: removal.replace('sequence = 0;', 'sequence = 4;') });
      expect(await worker(signer).audit.check()).toBe(1);
      expect(await fixture.verify(['--key', file, '--require-signature'])).toMatchObject({
        code: 0,
      });
    });
    const removed = fixture.owner.query('DELETE FROM freeside.audit_signatures');
    await expect(removed).rejects.toMatchObject({ code: '42501' });
  });

  it('refuses a file that holds no key, without telling what it holds', async () => {
    const pending = withKeyFile('-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n', (file) =>
      CheckpointSigner.fromFile(file),
    );
    await expect(pending).rejects.toThrow(/is not the PEM of a P-256 private key$/);
    await expect(CheckpointSigner.fromFile('/nowhere/key.pem')).rejects.toThrow("can't be read");
  });
});

describe('the metrics', () => {
  it('tell how old the oldest operation without a record is', async () => {
    const { audit, metric } = worker();
    await seal(1n);
    await audit.seal();
    expect(await metric('unsealed_age_seconds')).toBe(0);
    expect(await metric('checkpoint_timestamp_seconds')).toBeGreaterThan(1.7e9);
    const other = await fixture.pool.connect();
    try {
      // Somebody else is sealing and does not get on.
      await other.query(`SELECT pg_advisory_lock(hashtextextended('freeside.audit_seal', 0))`);
      await mint(fixture.app, communityId, 1n);
      expect(await audit.seal()).toBe(0);
      expect(await metric('unsealed_age_seconds')).toBeGreaterThan(0);
    } finally {
      other.release(true);
    }
    await expect.poll(() => audit.seal(), PATIENCE).toBe(1);
    expect(await metric('records_sealed_total')).toBe(1);
    expect(await metric('unsealed_age_seconds')).toBe(0);
  });
});

describe('whoever has the server', () => {
  it.each([
    [
      'changes a record',
      'UPDATE freeside.audit_records SET amount_micro = 6 WHERE sequence = 3',
      4,
    ],
    ['removes a record', 'DELETE FROM freeside.audit_records WHERE sequence = 3', 4],
    [
      'removes a batch',
      'DELETE FROM freeside.audit_records WHERE sequence = 3; DELETE FROM freeside.audit_checkpoints WHERE sequence = 4',
      4,
    ],
    [
      'changes a checkpoint',
      `UPDATE freeside.audit_checkpoints SET body = replace(body, '"available":"5"', '"available":"4"') WHERE sequence = 2`,
      3,
    ],
    [
      'gives an entry to others',
      'UPDATE freeside.audit_records SET community_id = gen_random_uuid() WHERE sequence = 5',
      6,
    ],
  ])('%s: the verifier names the line', async (_, statement, line) => {
    for (const amount of [5n, 5n, 7n]) await seal(amount);
    expect((await fixture.verify()).code).toBe(0);
    await tamper(statement);
    const { code, said } = await fixture.verify();
    expect(said).toMatch(new RegExp(`^broken at line ${line} `));
    expect(code).toBe(1);
  });
});

/** The trail and the books changed alike, and every hash made anew, from the first link or the third. */
const REWRITES = [
  [
    'from the beginning',
    `DELETE FROM freeside.audit_signatures; DELETE FROM freeside.audit_records;
     DELETE FROM freeside.audit_checkpoints;
     UPDATE freeside.ledger_entries SET created_at = created_at - interval '1 day';
     UPDATE freeside.audit_state SET sequence = 0, hash = decode(repeat('00', 32), 'hex'), entries_low = 0,
       entries_noted = 0, adjustments_low = 0, adjustments_noted = 0, noted_xid = NULL, balances_from = NULL`,
    0n,
  ],
  [
    'after the first signature',
    `DELETE FROM freeside.audit_signatures WHERE sequence > 2;
     DELETE FROM freeside.audit_records WHERE sequence > 2;
     DELETE FROM freeside.audit_checkpoints WHERE sequence > 2;
     UPDATE freeside.ledger_entries SET created_at = created_at - interval '1 day'
       WHERE id > (SELECT max(source_id) FROM freeside.audit_records);
     UPDATE freeside.audit_state SET sequence = 2, hash = (SELECT hash FROM freeside.audit_checkpoints),
       entries_low = 0, entries_noted = 0, adjustments_low = 0, adjustments_noted = 0, noted_xid = NULL,
       balances_from = NULL`,
    2n,
  ],
] as const;

describe.each(REWRITES)(
  'a trail that was made anew %s, without its signatures',
  (_, statement, kept) => {
    const signer = newSigner();
    /** What a running worker has logged. */
    let noted: LogLine | undefined;
    beforeEach(async () => {
      await seal(5n);
      await worker(signer).audit.check();
      await seal(6n);
      const { audit, lines } = worker(signer);
      await audit.check();
      noted = lines.find(({ msg }) => msg === 'audit checkpoint was signed');
      await tamper(statement);
      while ((await fixture.newAudit().seal()) > 0);
    });

    it('is signed by the next process, and the heads of the log tell on it', async () => {
      expect(noted).toMatchObject({ sequence: '4', kid: signer.key.kid });
      const head = `${noted?.sequence}:${noted?.hash}`;
      const { audit, metric, lines } = worker(signer);
      await audit.check();
      expect(await metric('broken')).toBe(0);
      expect(await metric('signed_sequence')).toBeGreaterThan(0);
      expect(lines[0]).toMatchObject({
        msg: 'audit trail is checked from here on',
        sequence: kept.toString(),
      });
      expect(await fixture.verify()).toMatchObject({ code: 0 });
      expect(await fixture.verify(['--expect', head])).toMatchObject({ code: 1 });
    });

    it('is not signed by one that was given a head of before', async () => {
      const anchor = { sequence: 4n, hash: noted?.hash ?? '' };
      const { audit, metric } = worker(signer, anchor);
      await audit.check();
      expect(await metric('broken')).toBe(1);
      expect(await metric('signed_sequence')).toBe(0);
      await seal(7n);
      await seal(8n);
      await audit.check();
      expect(await metric('signed_sequence')).toBe(0);
    });
  },
);

describe('a head given to a worker', () => {
  it('stands in nobody’s way where the trail goes through it', async () => {
    const signer = newSigner();
    await seal(5n);
    await seal(6n);
    const { audit, lines } = worker(signer);
    await audit.check();
    const [head] = lines.filter(({ kid }) => kid !== undefined);
    const anchor = { sequence: 4n, hash: head?.hash ?? '' };
    await seal(7n);
    for (const key of [signer, newSigner()]) {
      const { audit, metric } = worker(key, anchor);
      await audit.check();
      await seal(1n);
      await audit.check();
      expect([await metric('broken'), await metric('signed_sequence')]).toEqual([
        0,
        Number(lastOf(await fixture.exportText())),
      ]);
    }
  });
});

function lastOf(text: string): string {
  return /"last":"(\d+)"/.exec(text)?.[1] ?? '';
}
