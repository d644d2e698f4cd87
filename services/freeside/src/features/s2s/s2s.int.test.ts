import { writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool } from '@arrakis/postgres';
import { ACTIVE_FILE, S2STokenService, formatActiveFile } from '@arrakis/signing-keys';
import { createTestDatabase, type TestDatabase } from '@arrakis/testkit';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import type { Pool } from 'pg';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FileKeyStore } from './file-key-store.ts';
import { FileSigningKeySource } from './file-signing-key-source.ts';
import { KeyRotationService, type RotateOptions } from './key-rotation.service.ts';
import { RotationError, describeStop, type RotationProgress } from './key-rotation-progress.ts';
import { startFakeFinn, type FakeFinn } from './test-support/fake-finn.ts';
import { startJwksApp, type JwksApp } from './test-support/jwks-app.ts';

const SUBJECT = {
  nftId: '1:0x00000000000000000000000000000000000000aa:7',
  tier: 'pro',
  pool: 'reasoning',
  communityId: '00000000-0000-7000-8000-000000000001',
  reservationId: '0199d0a0-0000-7000-8000-000000000002',
} as const;

let database: TestDatabase;
let migrator: Pool;
let app: Pool;
let jwks: JwksApp;
let finn: FakeFinn;
let dir: string;
let store: FileKeyStore;
/** Added to the real clock: a test moves time instead of waiting for it. */
let aheadMs = 0;
let progress: RotationProgress[] = [];
/** Runs at each report of a rotation, to interfere with it. */
let onProgress: (step: RotationProgress) => void = () => undefined;

beforeAll(async () => {
  database = await createTestDatabase();
  migrator = openPool(database.migratorUrl);
  app = openPool(database.appUrl);
});

beforeEach(async () => {
  await migrator.query('DELETE FROM freeside.s2s_jwks_public_keys');
  dir = await mkdtemp(join(tmpdir(), 'keys-'));
  store = new FileKeyStore(dir);
  // Every look at the endpoint reads the database: its cache has a test of its own.
  let tick = 0;
  jwks = await startJwksApp(app, { monotonicMs: () => (tick += 1000) });
  finn = await startFakeFinn(
    () => jwks.url,
    () => new Date(Date.now() + aheadMs),
  );
  aheadMs = 0;
  progress = [];
  onProgress = () => undefined;
});

afterEach(async () => {
  await finn.close();
  await jwks.close();
  await rm(dir, { recursive: true, force: true });
});

afterAll(async () => {
  await app.end();
  await migrator.end();
  await database.drop();
});

function openPool(url: string): Pool {
  return createPool({ url, max: 4, applicationName: 'test', onError: () => undefined });
}

function service(pool = migrator): KeyRotationService {
  return new KeyRotationService({
    pool,
    keyStore: store,
    now: () => new Date(Date.now() + aheadMs),
    sleep: (ms, signal) => {
      signal.throwIfAborted();
      aheadMs += ms;
      return Promise.resolve();
    },
    report: (step) => {
      progress.push(step);
      onProgress(step);
    },
  });
}

function rotation(change: Partial<RotateOptions> = {}): RotateOptions {
  return {
    jwksUrls: [jwks.url],
    finnUrls: [finn.url],
    waitSeconds: 390,
    patienceMs: 3000,
    signal: new AbortController().signal,
    ...change,
  };
}

const steps = (): string[] => [...new Set(progress.map(({ step }) => step))];
const activeKid = async (): Promise<string | undefined> => (await store.readActive())?.activeKid;

async function expiryHours(kid: string): Promise<number> {
  const { rows } = await migrator.query<{ hours: number }>(
    `SELECT extract(epoch FROM expires_at - now())::float8 / 3600 AS hours
       FROM freeside.s2s_jwks_public_keys WHERE kid = $1`,
    [kid],
  );
  return rows[0]?.hours ?? Number.NaN;
}

async function stopOf(work: Promise<unknown>): Promise<RotationError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof RotationError)) throw new Error('it did not stop', { cause: error });
  return error;
}

describe('bootstrap', () => {
  it('makes, publishes and activates the first key, and then changes nothing', async () => {
    const first = await service().bootstrap();
    expect(first.changed).toBe(true);
    expect(await activeKid()).toBe(first.kid);
    expect(await expiryHours(first.kid)).toBeGreaterThan(89 * 24);
    expect(await service().bootstrap()).toEqual({ kid: first.kid, changed: false });
    expect(await store.listKids()).toEqual([first.kid]);
  });

  it('run many times at once makes one key', async () => {
    const runs = await Promise.allSettled(Array.from({ length: 4 }, () => service().bootstrap()));
    expect(runs.some((run) => run.status === 'fulfilled')).toBe(true);
    for (const run of runs) {
      if (run.status === 'rejected') expect(run.reason).toBeInstanceOf(RotationError);
    }
    await service().bootstrap();
    expect(await store.listKids()).toHaveLength(1);
  });

  it('publishes the same key again after the database was emptied', async () => {
    const { kid } = await service().bootstrap();
    await migrator.query('DELETE FROM freeside.s2s_jwks_public_keys');
    expect(await service().bootstrap()).toEqual({ kid, changed: true });
    expect(await expiryHours(kid)).toBeGreaterThan(0);
    expect(await store.listKids()).toEqual([kid]);
  });

  it('makes a new key when the active one has expired', async () => {
    const { kid } = await service().bootstrap();
    await migrator.query(
      `UPDATE freeside.s2s_jwks_public_keys
          SET created_at = now() - interval '91 days', expires_at = now() - interval '1 day'`,
    );
    aheadMs += 1000;
    const next = await service().bootstrap();
    expect(next.kid).not.toBe(kid);
    expect(await activeKid()).toBe(next.kid);
  });

  it('needs a role that may write public keys: the services’ own may not', async () => {
    await expect(service(app).bootstrap()).rejects.toThrow('permission denied');
  });
});

describe('a rotation', () => {
  it('publishes, sees it served, waits, proves it, and only then switches', async () => {
    const { kid: oldKid } = await service().bootstrap();
    progress = [];
    aheadMs += 5000;
    onProgress = ({ step }) => {
      if (step === 'activated') expect(finn.accepted).toHaveLength(1);
    };
    const done = await service().rotate(rotation());
    expect(done.oldKid).toBe(oldKid);
    expect(await activeKid()).toBe(done.newKid);
    expect(steps()).toEqual([
      'created',
      'published',
      'served',
      'waiting',
      'canary_accepted',
      'activated',
      'limited',
    ]);
    expect(finn.accepted).toEqual([done.newKid]);
    expect(progress.filter(({ step }) => step === 'waiting')).toHaveLength(390);
    expect(await expiryHours(done.newKid)).toBeGreaterThan(89 * 24);
    const overlap = (await expiryHours(oldKid)) - aheadMs / 3_600_000;
    expect(overlap).toBeGreaterThan(23.9);
    expect(overlap).toBeLessThan(24.1);
  });

  it('rejects no token while it goes on, neither of the old key nor of the new', async () => {
    const { kid: oldKid } = await service().bootstrap();
    const source = await FileSigningKeySource.open({
      dir,
      pollMs: 3_600_000,
      events: { keyActivated: () => undefined, keyStoreFaulty: () => undefined },
    });
    const tokens = new S2STokenService({ keys: source });
    const used = new Set<string>();
    const signAndVerify = async (): Promise<void> => {
      await source.poll();
      const token = tokens.sign(SUBJECT);
      used.add(decodeProtectedHeader(token).kid!);
      const set = (await (await request(jwks.url)).body.json()) as Parameters<
        typeof createLocalJWKSet
      >[0];
      await jwtVerify(token, createLocalJWKSet(set), { audience: 'loa-finn' });
    };
    const verified: Promise<void>[] = [];
    onProgress = () => verified.push(signAndVerify());
    aheadMs += 5000;
    const { newKid } = await service().rotate(rotation({ waitSeconds: 5 }));
    await signAndVerify();
    await Promise.all(verified);
    expect(verified.length).toBeGreaterThan(8);
    expect([...used].sort()).toEqual([oldKid, newKid].sort());
    await source.close();
  });

  it('is refused before a bootstrap', async () => {
    expect(await stopOf(service().rotate(rotation()))).toMatchObject({ step: 'plan' });
  });

  it('is refused while another one runs', async () => {
    await service().bootstrap();
    aheadMs += 5000;
    let second: Promise<RotationError> | undefined;
    onProgress = ({ step }) => {
      if (step === 'published') second ??= stopOf(service().rotate(rotation()));
    };
    await service().rotate(rotation({ waitSeconds: 1 }));
    expect((await second!).message).toContain('another command');
    expect(await store.listKids()).toHaveLength(2);
  });

  const unserved = 'http://127.0.0.1:9/.well-known/jwks.json';
  it.each([
    [
      'an endpoint does not serve the key',
      'served',
      () => rotation({ jwksUrls: [jwks.url, unserved] }),
    ],
    ['finn cannot be reached', 'canary', () => rotation({ finnUrls: ['http://127.0.0.1:9'] })],
    [
      'finn refuses the canary',
      'canary',
      () => {
        finn.mode = 'refuse_everything';
        return rotation();
      },
    ],
    [
      'finn accepts everything, a forged token included',
      'canary',
      () => {
        finn.mode = 'accept_everything';
        return rotation();
      },
    ],
    [
      'finn is broken',
      'canary',
      () => {
        finn.mode = 'broken';
        return rotation();
      },
    ],
    [
      'one of several finns is missing',
      'canary',
      () => rotation({ finnUrls: [finn.url, unserved] }),
    ],
  ])(
    'leaves the old key active when %s, and resumes with the same new one',
    async (_, step, with_) => {
      const { kid: oldKid } = await service().bootstrap();
      aheadMs += 5000;
      const stop = await stopOf(service().rotate(with_()));
      expect(stop).toMatchObject({ step, oldKid });
      expect(await activeKid()).toBe(oldKid);
      expect(await expiryHours(oldKid)).toBeGreaterThan(89 * 24 - 1);
      const told = describeStop(stop).join('\n');
      expect(told).toContain(`${oldKid} is still the active one`);
      expect(told).toContain('run rotate again');

      finn.mode = 'verify';
      const done = await service().rotate(rotation());
      expect(done.newKid).toBe(stop.newKid);
      expect(await store.listKids()).toHaveLength(2);
      expect(await activeKid()).toBe(done.newKid);
    },
  );

  it('can be given up in the wait', async () => {
    const { kid: oldKid } = await service().bootstrap();
    aheadMs += 5000;
    const stop = new AbortController();
    onProgress = (at) => {
      if (at.step === 'waiting' && at.secondsLeft === 200) stop.abort(new Error('interrupted'));
    };
    const error = await stopOf(service().rotate(rotation({ signal: stop.signal })));
    expect(error).toMatchObject({ step: 'wait', message: 'interrupted' });
    expect(await activeKid()).toBe(oldKid);
  });

  it('stops when somebody else switched keys meanwhile', async () => {
    const { kid: oldKid } = await service().bootstrap();
    aheadMs += 5000;
    // At once, so that the rotation can't read the file before it is there.
    const others = formatActiveFile({ activeKid: 'somebody-elses', updatedAt: new Date() });
    onProgress = (at) => {
      if (at.step === 'waiting') writeFileSync(join(dir, ACTIVE_FILE), others);
    };
    const error = await stopOf(service().rotate(rotation()));
    expect(error).toMatchObject({ step: 'switch', oldKid });
    expect(await activeKid()).toBe('somebody-elses');
  });
});

describe('retirement', () => {
  it('removes the old key after the overlap, not before', async () => {
    const { kid: oldKid } = await service().bootstrap();
    aheadMs += 5000;
    const { newKid } = await service().rotate(rotation());
    expect(await service().retire()).toEqual([]);
    expect(await readdir(dir)).toContain(`${oldKid}.pem`);

    aheadMs += 24 * 60 * 60 * 1000 + 1000;
    expect(await service().retire()).toEqual([oldKid]);
    expect((await readdir(dir)).sort()).toEqual([`${newKid}.pem`, 'active.json'].sort());
    expect(await expiryHours(oldKid)).toBeNaN();
    expect(await service().retire()).toEqual([]);
  });

  it('limits the overlap that an interrupted rotation left open', async () => {
    const { kid: oldKid } = await service().bootstrap();
    aheadMs += 5000;
    await service().rotate(rotation());
    await migrator.query(
      `UPDATE freeside.s2s_jwks_public_keys SET expires_at = now() + interval '80 days'
        WHERE kid = $1`,
      [oldKid],
    );
    await service().retire();
    expect(await expiryHours(oldKid)).toBeLessThan(25);
  });

  it('takes a leaked key out at once, but never the active one', async () => {
    const { kid: oldKid } = await service().bootstrap();
    aheadMs += 5000;
    expect(await stopOf(service().retireNow(oldKid))).toMatchObject({ step: 'plan' });
    await service().rotate(rotation());
    await service().retireNow(oldKid);
    const served = await (await request(jwks.url)).body.text();
    expect(served).not.toContain(oldKid);
    expect(await readdir(dir)).not.toContain(`${oldKid}.pem`);
    expect(await stopOf(service().retireNow('no-such-key'))).toMatchObject({ step: 'plan' });
  });

  it('gives up a pending key, so that the next rotation makes another', async () => {
    await service().bootstrap();
    aheadMs += 5000;
    finn.mode = 'refuse_everything';
    const { newKid: pending } = await stopOf(service().rotate(rotation()));
    await service().retireNow(pending!);
    finn.mode = 'verify';
    aheadMs += 5000;
    const { newKid } = await service().rotate(rotation());
    expect(newKid).not.toBe(pending);
  });
});

describe('the inventory', () => {
  it('names every key and what it is good for', async () => {
    const { kid: oldKid } = await service().bootstrap();
    aheadMs += 5000;
    const { newKid } = await service().rotate(rotation());
    aheadMs += 5000;
    finn.mode = 'refuse_everything';
    const { newKid: pending } = await stopOf(service().rotate(rotation()));
    const entries = await service().list();
    expect(entries.map(({ kid, status, isStored }) => [kid, status, isStored])).toEqual([
      [pending, 'pending', true],
      [newKid, 'active', true],
      [oldKid, 'superseded', true],
    ]);
  });
});
