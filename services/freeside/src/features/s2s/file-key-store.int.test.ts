import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportPrivateKey, generateKeyPair, type KeyPair } from '@arrakis/signing-keys';
import { waitFor } from '@arrakis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileKeyStore } from './file-key-store.ts';
import { FileSigningKeySource } from './file-signing-key-source.ts';
import { KeyStoreError } from './signing-key-store.ts';

let parent: string;
let dir: string;
let store: FileKeyStore;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'keys-'));
  dir = join(parent, 'store');
  store = new FileKeyStore(dir);
  await store.prepare();
});

afterEach(async () => {
  await rm(parent, { recursive: true, force: true });
});

const pairOf = (second = 0): KeyPair =>
  generateKeyPair(new Date(Date.UTC(2026, 10, 22, 7, 0, second)));
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
const activate = (kid: string): Promise<void> =>
  store.activate({ activeKid: kid, updatedAt: new Date('2026-11-22T07:30:00Z') });

describe('the key store', () => {
  it('is a directory for its owner only, with files for their owner only', async () => {
    const pair = pairOf();
    await store.save(pair);
    await activate(pair.kid);
    expect(await modeOf(dir)).toBe(0o700);
    expect(await modeOf(join(dir, 'active.json'))).toBe(0o600);
    expect(await modeOf(join(dir, `${pair.kid}.pem`))).toBe(0o600);
    expect((await readdir(dir)).sort()).toEqual([`${pair.kid}.pem`, 'active.json'].sort());
    expect(JSON.parse(await readFile(join(dir, 'active.json'), 'utf8'))).toEqual({
      activeKid: pair.kid,
      updatedAt: '2026-11-22T07:30:00.000Z',
    });
  });

  it('gives back the key that was saved', async () => {
    const pair = pairOf();
    await store.save(pair);
    const loaded = await store.load(pair.kid);
    expect(loaded.kid).toBe(pair.kid);
    expect(loaded.privateKey.equals(pair.privateKey)).toBe(true);
    expect(await store.listKids()).toEqual([pair.kid]);
  });

  it('never replaces a key', async () => {
    const pair = pairOf();
    await store.save(pair);
    await expect(store.save(pair)).rejects.toBeInstanceOf(KeyStoreError);
  });

  it('forgets a key without trace, also twice', async () => {
    const pair = pairOf();
    await store.save(pair);
    await store.remove(pair.kid);
    await store.remove(pair.kid);
    expect(await readdir(dir)).toEqual([]);
  });

  it('clears away what an interrupted write left', async () => {
    await writeFile(join(dir, '.active.json.0123abcd.tmp'), 'half', { mode: 0o600 });
    await store.prepare();
    expect(await readdir(dir)).toEqual([]);
  });

  it('refuses a directory that others may enter, and says how to mend it', async () => {
    const open = join(parent, 'open');
    await mkdir(open);
    await chmod(open, 0o755);
    await expect(new FileKeyStore(open).prepare()).rejects.toThrow(`chmod 700 ${open}`);
  });

  it.each([0o640, 0o604, 0o644])('refuses a key file of mode %o', async (mode) => {
    const pair = pairOf();
    await store.save(pair);
    const path = join(dir, `${pair.kid}.pem`);
    await chmod(path, mode);
    await expect(store.load(pair.kid)).rejects.toThrow(`chmod 600 ${path}`);
  });

  it.runIf(process.getuid?.() === 0)(
    'takes a key file of somebody else that our group may read, as in a mounted Secret',
    async () => {
      const pair = pairOf();
      await store.save(pair);
      const path = join(dir, `${pair.kid}.pem`);
      await chown(path, 12_345, 12_345);
      await chmod(path, 0o440);
      expect((await store.load(pair.kid)).kid).toBe(pair.kid);
      for (const mode of [0o444, 0o460, 0o441]) {
        await chmod(path, mode);
        await expect(store.load(pair.kid)).rejects.toMatchObject({ fault: 'permissions' });
      }
    },
  );

  it.each(['../../etc/passwd', 'a/b', '.', ''])('has no key called %j', async (kid) => {
    await expect(store.load(kid)).rejects.toBeInstanceOf(KeyStoreError);
    await expect(store.remove(kid)).rejects.toBeInstanceOf(KeyStoreError);
  });

  it.each([
    ['nothing', ''],
    ['half a key', exportPrivateKey(pairOf().privateKey).slice(0, 100)],
    ['no key', 'hello'],
  ])('refuses a file that holds %s, without quoting it', async (_, text) => {
    const { kid } = pairOf();
    await writeFile(join(dir, `${kid}.pem`), text, { mode: 0o600 });
    const error = await store.load(kid).then(
      () => undefined,
      (thrown: unknown) => thrown as KeyStoreError,
    );
    expect(error).toMatchObject({ name: 'KeyStoreError', fault: 'malformed' });
    if (text !== '') expect(error?.stack).not.toContain(text);
  });

  it('refuses a file that holds another key than its name says', async () => {
    const { kid } = pairOf();
    const other = exportPrivateKey(generateKeyPair(new Date()).privateKey);
    await writeFile(join(dir, `${kid}.pem`), other, { mode: 0o600 });
    await expect(store.load(kid)).rejects.toMatchObject({ fault: 'mismatch' });
  });
});

describe('the active key of a running process', () => {
  /** What the source reported, and the source itself; polled by the test or every 20 ms. */
  async function follow(pollMs = 3_600_000) {
    const activated: string[] = [];
    const faults: unknown[] = [];
    const source = await FileSigningKeySource.open({
      dir,
      pollMs,
      events: {
        keyActivated: (kid) => void activated.push(kid),
        keyStoreFaulty: (error) => void faults.push(error),
      },
    });
    return { source, activated, faults };
  }

  it('is found at the start', async () => {
    const pair = pairOf();
    await store.save(pair);
    await activate(pair.kid);
    const { source, activated } = await follow();
    expect(source.current().kid).toBe(pair.kid);
    expect(activated).toEqual([pair.kid]);
    await source.close();
  });

  it('must be there at the start', async () => {
    await expect(follow()).rejects.toMatchObject({ fault: 'empty' });
    const pair = pairOf();
    await activate(pair.kid);
    await expect(follow()).rejects.toMatchObject({ fault: 'mismatch' });
  });

  it('changes by itself when the operator switches', async () => {
    const [first, second] = [pairOf(1), pairOf(2)];
    await store.save(first);
    await activate(first.kid);
    const { source } = await follow(20);
    await store.save(second);
    await activate(second.kid);
    await waitFor(() => source.current().kid === second.kid, { timeoutMs: 10_000 });
    expect(source.current().privateKey.equals(second.privateKey)).toBe(true);
    await source.close();
  });

  it('stays the last good one through every broken state, and follows again afterwards', async () => {
    const [first, second] = [pairOf(1), pairOf(2)];
    await store.save(first);
    await activate(first.kid);
    const { source, faults, activated } = await follow();
    const activeFile = join(dir, 'active.json');
    const breakages: (() => Promise<unknown>)[] = [
      () => writeFile(activeFile, '{"activeKid": "', { mode: 0o600 }),
      () => writeFile(activeFile, ''),
      () => writeFile(activeFile, JSON.stringify({ activeKid: '../x', updatedAt: 'now' })),
      () => writeFile(activeFile, JSON.stringify({ activeKid: second.kid, updatedAt: 'soon' })),
      // Named before its file is there.
      () => activate(second.kid),
      () => writeFile(join(dir, `${second.kid}.pem`), '-----BEGIN', { mode: 0o600 }),
      () => rm(activeFile),
    ];
    for (const [index, breakage] of breakages.entries()) {
      await breakage();
      await source.poll();
      expect(source.current().kid).toBe(first.kid);
      expect(faults).toHaveLength(index + 1);
    }
    await rm(join(dir, `${second.kid}.pem`));
    await store.save(second);
    await activate(second.kid);
    await source.poll();
    expect(source.current().kid).toBe(second.kid);
    expect(activated).toEqual([first.kid, second.kid]);
    await source.close();
  });

  it('is not read again while nothing has changed', async () => {
    const pair = pairOf();
    await store.save(pair);
    await activate(pair.kid);
    const { source, activated, faults } = await follow();
    await rm(join(dir, `${pair.kid}.pem`));
    await source.poll();
    await source.poll();
    expect([activated.length, faults.length]).toEqual([1, 0]);
    await source.close();
  });
});
