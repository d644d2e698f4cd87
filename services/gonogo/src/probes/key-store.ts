import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ACTIVE_FILE,
  parseActiveFile,
  parsePrivateKey,
  pemFileName,
  type SigningKey,
} from '@arrakis/signing-keys';

/**
 * The key that freeside signs with, from its store.
 *
 * @throws Error that names the directory and no content.
 */
export async function readActiveKey(dir: string): Promise<SigningKey> {
  const active = parseActiveFile(await readOr(join(dir, ACTIVE_FILE)));
  if (active === undefined) throw new Error(`${dir} holds no ${ACTIVE_FILE} that can be read`);
  const privateKey = parsePrivateKey(await readOr(join(dir, pemFileName(active.activeKid))));
  if (privateKey === undefined) throw new Error(`${dir} holds no key ${active.activeKid}`);
  return { kid: active.activeKid, privateKey };
}

async function readOr(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return '';
  }
}
