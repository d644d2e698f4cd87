import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPlatform, type Platform } from './support/platform.ts';

const FLAG = 'FEATURE_API_KEYS_ENABLED';
const KINDS = ['api', 'worker', 'finn'] as const;
type Kind = (typeof KINDS)[number];

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
}, 180_000);
afterAll(() => platform.stop());

interface Snapshot {
  readonly flags: Readonly<Record<string, boolean>>;
  readonly source: string;
  readonly revision: string | null;
  readonly changedAt: string;
  readonly effectiveAt: string;
}

async function admin(kind: Kind, path: string): Promise<string> {
  return (await fetch(`${platform.adminUrls[kind]}${path}`)).text();
}
const flagsOf = async (kind: Kind): Promise<Snapshot> =>
  JSON.parse(await admin(kind, '/flags')) as Snapshot;

/** What each process says once all of them say so. */
function everywhere(value: boolean): Promise<Snapshot[]> {
  return waitFor(async () => {
    const snapshots = await Promise.all(KINDS.map(flagsOf));
    return snapshots.every(({ flags }) => flags[FLAG] === value) && snapshots;
  });
}

const setFlag = (value: boolean): Promise<string> =>
  platform.command('scripts/flags.ts', 'set', FLAG, String(value));
const createKey = (): Promise<string> =>
  platform.command(
    'scripts/keys/api-key.ts',
    ...['create', '--community', 'demo', '--user', 'Demo Developer', '--json'],
  );
const models = (key: string): Promise<Response> =>
  fetch(`${platform.apiUrl}/v1/models`, { headers: { authorization: `Bearer ${key}` } });

describe('a flag', () => {
  it('is on in every process until an operator says otherwise', async () => {
    for (const snapshot of await everywhere(true)) {
      expect(snapshot).toMatchObject({ source: 'default', revision: null });
    }
    expect(await createKey()).toContain('lf_live_');
  });

  it('that is flipped stops the making of keys, nothing else, and lets it go on when flipped back', async () => {
    await setFlag(false);
    const snapshots = await everywhere(false);
    const { revision } = snapshots[0]!;
    expect(revision).toMatch(/^command-/);
    for (const snapshot of snapshots) {
      expect(snapshot).toMatchObject({ source: 'kv', revision });
      const tookMs = Date.parse(snapshot.effectiveAt) - Date.parse(snapshot.changedAt);
      expect(tookMs).toBeLessThan(2_000);
    }
    const refusal = { code: 3, stderr: expect.stringContaining('switched off') as string };
    await expect(createKey()).rejects.toMatchObject(refusal);
    // Keys that exist go on.
    expect((await models(platform.apiKey)).status).toBe(200);
    for (const kind of KINDS) {
      const text = await admin(kind, '/metrics');
      expect(text).toMatch(new RegExp(`flag_enabled\\{flag="${FLAG}"[^}]*\\} 0`));
    }

    await setFlag(true);
    await everywhere(true);
    const made = /lf_live_[a-z2-7]{12}_[0-9A-Za-z]{32}/.exec(await createKey())?.[0] ?? '';
    expect((await models(made)).status).toBe(200);
  });

  it('stays what it is across a restart of a process', async () => {
    await setFlag(false);
    await everywhere(false);
    await platform.services.api.kill('SIGKILL');
    await platform.restart('api');
    expect((await flagsOf('api')).flags[FLAG]).toBe(false);
    await setFlag(true);
    await everywhere(true);
  });
});
