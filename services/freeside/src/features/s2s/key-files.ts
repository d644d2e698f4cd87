import { randomBytes } from 'node:crypto';
import { constants, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ACTIVE_FILE,
  parseActiveFile,
  pemFileName,
  type ActiveKey,
  isKid,
  kidFitsThumbprint,
  parsePrivateKey,
  publicJwk,
  type SigningKey,
  thumbprintHex,
} from '@arrakis/signing-keys';
import { KeyStoreError } from './signing-key-store.ts';

const TEMPORARY = /^\.[A-Za-z0-9_.-]+\.[0-9a-f]{8}\.tmp$/;
const MAX_FILE_BYTES = 16 * 1024;
export const PRIVATE_FILE_MODE = 0o600;
const GROUP_AND_OTHERS = 0o077;
/** A mounted Secret belongs to root, and our group may read it: that is how we get to see it. */
const ALL_BUT_GROUP_READ = 0o037;
const WRITABLE_BY_OTHERS = 0o022;

export function isTemporaryFile(fileName: string): boolean {
  return TEMPORARY.test(fileName);
}

export function privateKeyPath(dir: string, kid: string): string {
  // A kid becomes part of a path: nothing but the closed alphabet may pass.
  if (!isKid(kid)) throw new KeyStoreError('malformed', 'a kid has characters that none may have');
  return join(dir, pemFileName(kid));
}

/** @throws KeyStoreError 'empty' when nothing was ever activated, or with what is wrong. */
export async function readActiveFile(dir: string): Promise<ActiveKey> {
  const path = join(dir, ACTIVE_FILE);
  const text = await readBounded(path, WRITABLE_BY_OTHERS, 'written');
  if (text === undefined) {
    throw new KeyStoreError(
      'empty',
      `${dir} has no ${ACTIVE_FILE}: no signing key was activated yet`,
    );
  }
  const active = parseActiveFile(text);
  if (active === undefined) {
    throw new KeyStoreError('malformed', `${path} is not {"activeKid": …, "updatedAt": …}`);
  }
  return active;
}

/** @throws KeyStoreError unless the file is private and holds the key that its name says. */
export async function readPrivateKey(dir: string, kid: string): Promise<SigningKey> {
  const path = privateKeyPath(dir, kid);
  const pem = await readBounded(path, GROUP_AND_OTHERS, 'read', ALL_BUT_GROUP_READ);
  if (pem === undefined) throw new KeyStoreError('mismatch', `${path} is not there`);
  const privateKey = parsePrivateKey(pem);
  if (privateKey === undefined) {
    throw new KeyStoreError('malformed', `${path} is not the PEM of a P-256 private key`);
  }
  if (!kidFitsThumbprint(kid, thumbprintHex(publicJwk(privateKey, kid)))) {
    throw new KeyStoreError('mismatch', `${path} holds another key than its name says`);
  }
  return { kid, privateKey };
}

/**
 * `undefined` when there is no such file. Rights are asked of the opened file, not of its name.
 *
 * @param forbiddenMode for a file that we own
 * @param foreignForbiddenMode for one that somebody else owns and lets us read
 */
async function readBounded(
  path: string,
  forbiddenMode: number,
  verb: 'read' | 'written',
  foreignForbiddenMode = forbiddenMode,
): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY);
    const { mode, size, uid } = await file.stat();
    const forbidden = uid === process.getuid?.() ? forbiddenMode : foreignForbiddenMode;
    if ((mode & forbidden) !== 0) {
      const rights = (mode & 0o777).toString(8).padStart(4, '0');
      throw new KeyStoreError(
        'permissions',
        `${path} has mode ${rights}, so it could be ${verb} by others than its owner; run: chmod 600 ${path}`,
      );
    }
    if (size > MAX_FILE_BYTES) throw new KeyStoreError('malformed', `${path} is far too large`);
    return await file.readFile('utf8');
  } catch (error) {
    if (error instanceof KeyStoreError) throw error;
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new KeyStoreError('unreadable', `${path} cannot be read`, { cause: error });
  } finally {
    await file?.close();
  }
}

/** Whole or not at all, and still there after a power cut. */
export async function writePrivateFile(dir: string, name: string, text: string): Promise<void> {
  const temporary = join(dir, `.${name}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', PRIVATE_FILE_MODE);
    try {
      await file.writeFile(text, 'utf8');
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(dir, name));
    await syncDirectory(dir);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new KeyStoreError('unreadable', `${join(dir, name)} cannot be written`, { cause: error });
  }
}

export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
