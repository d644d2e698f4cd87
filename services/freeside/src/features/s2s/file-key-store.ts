import { access, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ACTIVE_FILE,
  type ActiveKey,
  formatActiveFile,
  kidOfFile,
  exportPrivateKey,
  type KeyPair,
  type SigningKey,
} from '@arrakis/signing-keys';
import {
  hasCode,
  isTemporaryFile,
  privateKeyPath,
  readActiveFile,
  readPrivateKey,
  syncDirectory,
  writePrivateFile,
} from './key-files.ts';
import { KeyStoreError, type KeyStore } from './signing-key-store.ts';

const DIRECTORY_MODE = 0o700;

/** Signing keys as files of one directory that only its owner may enter. */
export class FileKeyStore implements KeyStore {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async prepare(): Promise<void> {
    try {
      await mkdir(this.#dir, { recursive: true, mode: DIRECTORY_MODE });
    } catch (error) {
      throw new KeyStoreError('unreadable', `${this.#dir} cannot be made`, { cause: error });
    }
    const { mode } = await stat(this.#dir);
    if ((mode & 0o077) !== 0) {
      const rights = (mode & 0o777).toString(8).padStart(4, '0');
      throw new KeyStoreError(
        'permissions',
        `${this.#dir} has mode ${rights}, so others than its owner could enter it; run: chmod 700 ${this.#dir}`,
      );
    }
    for (const name of await readdir(this.#dir)) {
      if (isTemporaryFile(name)) await rm(join(this.#dir, name), { force: true });
    }
  }

  async readActive(): Promise<ActiveKey | undefined> {
    try {
      return await readActiveFile(this.#dir);
    } catch (error) {
      if (error instanceof KeyStoreError && error.fault === 'empty') return undefined;
      throw error;
    }
  }

  async listKids(): Promise<string[]> {
    try {
      const names = await readdir(this.#dir);
      return names
        .map(kidOfFile)
        .filter((kid) => kid !== undefined)
        .sort();
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return [];
      throw new KeyStoreError('unreadable', `${this.#dir} cannot be listed`, { cause: error });
    }
  }

  load(kid: string): Promise<SigningKey> {
    return readPrivateKey(this.#dir, kid);
  }

  async save(pair: KeyPair): Promise<void> {
    const path = privateKeyPath(this.#dir, pair.kid);
    if (await exists(path)) throw new KeyStoreError('mismatch', `${path} is there already`);
    await writePrivateFile(this.#dir, `${pair.kid}.pem`, exportPrivateKey(pair.privateKey));
  }

  activate(active: ActiveKey): Promise<void> {
    return writePrivateFile(this.#dir, ACTIVE_FILE, formatActiveFile(active));
  }

  async remove(kid: string): Promise<void> {
    await rm(privateKeyPath(this.#dir, kid), { force: true });
    await syncDirectory(this.#dir);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
