import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { readIfExists, writeWhole } from '../../lib/files.ts';
import { PlainError } from '../../lib/plain-error.ts';
import type { Done } from '../report.ts';
import type { Folders } from '../stack.ts';

/** Made once on this machine, readable by its owner only, never printed. */
export interface LocalSecrets {
  /** `version:base64`, as the key service takes it. */
  readonly apiKeyPepper: string;
  readonly migratorPassword: string;
  readonly freesidePassword: string;
  readonly finnPassword: string;
}

export function secretsFile(folders: Folders): string {
  return join(folders.state, 'secrets.json');
}

export function ensureSecrets(folders: Folders): Done<LocalSecrets> {
  const path = secretsFile(folders);
  const text = readIfExists(path);
  if (text !== undefined) return { did: 'kept', value: parse(text, path) };
  const secrets: LocalSecrets = {
    apiKeyPepper: `1:${randomBytes(32).toString('base64')}`,
    migratorPassword: password(),
    freesidePassword: password(),
    finnPassword: password(),
  };
  writeWhole(path, `${JSON.stringify(secrets, null, 2)}\n`);
  return { did: 'generated for this machine', value: secrets };
}

/** Safe inside a URL without escaping. */
function password(): string {
  return randomBytes(24).toString('base64url');
}

function parse(text: string, path: string): LocalSecrets {
  const names: (keyof LocalSecrets)[] = [
    'apiKeyPepper',
    'migratorPassword',
    'freesidePassword',
    'finnPassword',
  ];
  try {
    const parsed = JSON.parse(text) as LocalSecrets;
    if (names.every((name) => typeof parsed[name] === 'string')) return parsed;
  } catch {
    // Falls through: damaged is damaged, whichever way.
  }
  throw new PlainError(`${path} is damaged.`, [
    'The keys in the database depend on it. Start over with: make reset',
  ]);
}
