import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gonogo, environmentOf, runGates } from './support/gonogo.ts';
import { startStandIn } from './support/stand-in.ts';
import { modelOf, startWorld, type World } from './support/world.ts';

/** The gates against real processes: green when all is well, red for each thing that is broken. */

const REAL = 'health,auth,inference,billing,platform';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world.stop();
});

describe('a platform that works', () => {
  it('passes every gate whose feature exists, in a signed report without secrets', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const keyFile = join(world.dir, 'report-key.pem');
    await writeFile(keyFile, pem, { mode: 0o600 });
    const run = await runGates(world, REAL, { GONOGO_SIGNING_KEY_FILE: keyFile });
    expect(run.outcomes, run.output).toEqual([
      'health pass',
      'auth pass',
      'inference pass',
      'billing pass',
      'platform pass',
    ]);
    expect(run.code).toBe(0);
    expect(run.signed.report).toMatchObject({ verdict: 'go', scope: 'partial', signedBy: 'key' });

    const text = (await readFile(run.reportFile, 'utf8')) + run.output;
    const signingKeys = await world.system.command('scripts/keys/s2s.ts', 'list');
    expect(signingKeys).toContain(run.signed.report.gates[1]!.evidence.kids as string[][0]);
    for (const secret of [world.apiKey, world.appDatabaseUrl, pem.split('\n')[1]!, 'PRIVATE KEY']) {
      expect(text).not.toContain(secret);
    }
    const { kid } = run.signed.report.key;
    expect(await gonogo(['verify', run.reportFile, '--signer', kid], {})).toMatchObject({
      code: 0,
    });
    const stranger = await gonogo(['verify', run.reportFile, '--signer', 'f'.repeat(64)], {});
    expect(stranger).toMatchObject({ code: 1 });
    expect(stranger.output).toContain(`signed by ${kid}`);
  });

  it('is no go as long as features are missing, or not set up', async () => {
    const names = 'payments,discord,dashboard,audit,monitoring,rollback';
    const run = await runGates(world, names);
    expect(run.code).toBe(2);
    expect(new Set(run.outcomes.map((one) => one.split(' ')[1]))).toEqual(
      new Set(['inconclusive']),
    );
    expect(run.reasonOf('payments')).toContain('payments are not configured here');
    expect(run.reasonOf('audit')).toContain('unsigned');
    expect(run.reasonOf('monitoring')).toContain('PROMETHEUS_URL');
    expect(run.reasonOf('rollback')).toContain('GONOGO_RELEASE');
  });

  it('names what was changed in a report afterwards', async () => {
    const { reportFile } = await runGates(world, 'billing');
    const bent = (await readFile(reportFile, 'utf8')).replace(
      /"fellByMicro": "(\d+)"/,
      '"fellByMicro": "1$1"',
    );
    await writeFile(reportFile, bent);
    const { code, output } = await gonogo(['verify', reportFile], {});
    expect(code).toBe(1);
    expect(output).toContain('gate billing: the evidence does not fit its hash');
    expect(output).toContain('gates[0].evidence.fellByMicro is not what was signed');
  });

  it('is not called well by gates that were given nothing to ask with', async () => {
    const run = await runGates(world, 'auth,inference,billing,platform', {
      GONOGO_API_KEY: '',
      S2S_KEY_STORE_DIR: '',
    });
    expect(run.code).toBe(2);
    expect(new Set(run.outcomes.map((one) => one.split(' ')[1]))).toEqual(
      new Set(['inconclusive']),
    );
    expect(run.reasonOf('auth')).toContain('S2S_KEY_STORE_DIR');
  });
});

describe('billing', () => {
  const bend = (kind: string, by: number) =>
    world.db.query(
      `UPDATE freeside.accounts SET balance_micro = balance_micro + $1 WHERE kind = $2 AND community_id = $3`,
      [by, kind, world.communityId],
    );

  it('sees a balance bent by one micro-credit, without reading the books', async () => {
    await bend('spent', 1);
    const run = await runGates(world, 'billing', { DATABASE_URL: '' });
    await bend('spent', -1);
    expect(run).toMatchObject({ code: 1, outcomes: ['billing fail'] });
    expect(run.reasonOf('billing')).toContain('the balance is off by 1');
  });

  it('sees two balances bent against each other, in the books', async () => {
    await bend('spent', 1);
    await bend('minted', -1);
    const run = await runGates(world, 'billing');
    await bend('spent', -1);
    await bend('minted', 1);
    expect(run).toMatchObject({ code: 1, outcomes: ['billing fail'] });
    expect(run.reasonOf('billing')).toMatch(/the books: .* is off by -?1/);
  });
});

describe('auth', () => {
  it('fails a finn that accepts everything', async () => {
    const everything = await startStandIn(200, { kid: 'x', iss: 'loa-freeside' });
    const run = await runGates(world, 'auth', { FINN_URL: everything.url });
    await everything.close();
    expect(run).toMatchObject({ code: 1, outcomes: ['auth fail'] });
    for (const of of ['no token', 'a token by a stranger', 'an expired token']) {
      expect(run.reasonOf('auth')).toContain(of);
    }
  });

  it('fails a finn that refuses everything, the good token too', async () => {
    const nothing = await startStandIn(401, { code: 'invalid_token' });
    const run = await runGates(world, 'auth', { FINN_URL: nothing.url });
    await nothing.close();
    expect(run).toMatchObject({ code: 1, outcomes: ['auth fail'] });
    expect(run.reasonOf('auth')).toContain('a good token');
  });
});

describe('inference', () => {
  it('fails when one pool is answered by another', async () => {
    world.vendor.script(modelOf('flagship'), { status: 500 });
    const run = await runGates(world, 'inference');
    world.vendor.script(modelOf('flagship'), {});
    expect(run).toMatchObject({ code: 1, outcomes: ['inference fail'] });
    expect(run.reasonOf('inference')).toContain('flagship: architect answered instead');
    expect(run.reasonOf('inference')).not.toContain('cheap:');
  });
});

describe('platform', () => {
  it('fails a key that nobody knows', async () => {
    const run = await runGates(world, 'platform', {
      GONOGO_API_KEY: `lf_live_bbbbbbbbbbbb_${'1'.repeat(32)}`,
    });
    expect(run).toMatchObject({ code: 1, outcomes: ['platform fail'] });
    expect(run.reasonOf('platform')).toContain('/v1/models: 401');
  });

  it('fails a server that lets everybody in', async () => {
    const everybody = await startStandIn(200, {
      status: 'ok',
      data: [{ id: 'x@cheap' }],
      usage: { completion_tokens: 5 },
    });
    const run = await runGates(world, 'health,platform', { FREESIDE_URL: everybody.url });
    await everybody.close();
    expect(run.code).toBe(1);
    expect(run.outcomes).toContain('platform fail');
    expect(run.reasonOf('platform')).toContain('a wrong key: 200');
  });
});

describe('a wrong address', () => {
  it('is no pass for any gate', async () => {
    const nobody = 'http://127.0.0.1:9';
    const run = await runGates(world, REAL, {
      FREESIDE_URL: nobody,
      FINN_URL: nobody,
      GONOGO_ADMIN_URLS: nobody,
    });
    expect(run.code).toBe(1);
    expect(run.outcomes).toEqual([
      'health fail',
      'auth inconclusive',
      'inference fail',
      'billing inconclusive',
      'platform fail',
    ]);
  });

  it('says which variable is wrong, and runs nothing', async () => {
    const { code, output } = await gonogo([], { ...environmentOf(world), FREESIDE_URL: 'here' });
    expect(code).toBe(2);
    expect(output).toContain('FREESIDE_URL: expected');
  });
});

describe('a finn that was killed', () => {
  it('fails health and inference, and nobody says that the books are wrong', async () => {
    await world.system.process('finn-1').kill('SIGKILL');
    const run = await runGates(world, 'health,auth,inference,billing');
    await world.system.restart('finn-1');
    expect(run.code).toBe(1);
    expect(run.outcomes).toContain('health fail');
    expect(run.outcomes).toContain('inference fail');
    expect(run.outcomes).not.toContain('billing fail');
    expect(run.outcomes).not.toContain('billing pass');
    expect(run.reasonOf('health')).toContain(world.adminUrls.finn);
  });
});
