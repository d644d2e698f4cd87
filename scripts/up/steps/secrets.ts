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
  /** What freeside and the fake payment vendor know each other by. */
  readonly vendorApiKey: string;
  readonly vendorIpnSecret: string;
}

export function secretsFile(folders: Folders): string {
  return join(folders.state, 'secrets.json');
}

export function ensureSecrets(folders: Folders): Done<LocalSecrets> {
  const path = secretsFile(folders);
  const text = readIfExists(path);
  const kept = text === undefined ? undefined : parse(text, path);
  const secrets: LocalSecrets = {
    apiKeyPepper: `1:${randomBytes(32).toString('base64')}`,
    migratorPassword: password(),
    freesidePassword: password(),
    finnPassword: password(),
    vendorApiKey: password(),
    vendorIpnSecret: password(),
    ...kept,
  };
  const whole = `${JSON.stringify(secrets, null, 2)}\n`;
  if (whole !== text) writeWhole(path, whole);
  return { did: kept === undefined ? 'generated for this machine' : 'kept', value: secrets };
}

/** Safe inside a URL without escaping. */
function password(): string {
  return randomBytes(24).toString('base64url');
}

/** Those that the database depends on; a newer one is added when it is missing. */
const NEEDED = ['apiKeyPepper', 'migratorPassword', 'freesidePassword', 'finnPassword'] as const;
type Kept = Pick<LocalSecrets, (typeof NEEDED)[number]> & Partial<LocalSecrets>;

function parse(text: string, path: string): Kept {
  try {
    const parsed = JSON.parse(text) as Kept;
    if (NEEDED.every((name) => typeof parsed[name] === 'string')) return parsed;
  } catch {
    // Falls through: damaged is damaged, whichever way.
  }
  throw new PlainError(`${path} is damaged.`, [
    'The keys in the database depend on it. Start over with: make reset',
  ]);
}
