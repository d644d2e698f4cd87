import { readFileSync } from 'node:fs';
import { Secret } from '@arrakis/service-kit';
import { PoolFileError, targetsOf, type PoolFile } from '../features/pools/pool-file.domain.ts';
import type { FinnEnv } from './env.ts';

export interface FinnSecrets {
  readonly databaseUrl: Secret;
  readonly redisUrl: Secret;
  readonly natsUrl: Secret;
  /** Vendors' keys, by the reference that the pool file has (`env:NAME` or `file:/path`). */
  readonly apiKeys: ReadonlyMap<string, Secret>;
}

type ReadVariable = (name: string) => string | undefined;

/** @throws PoolFileError that names each reference that leads nowhere, by its place in the file. */
export function toSecrets(env: FinnEnv, pools: PoolFile, readVariable: ReadVariable): FinnSecrets {
  return Object.freeze({
    databaseUrl: env.DATABASE_URL,
    redisUrl: env.REDIS_URL,
    natsUrl: env.NATS_URL,
    apiKeys: resolveApiKeys(pools, readVariable),
  });
}

/** @throws PoolFileError */
export function resolveApiKeys(
  pools: PoolFile,
  readVariable: ReadVariable,
): ReadonlyMap<string, Secret> {
  const keys = new Map<string, Secret>();
  const faults: string[] = [];
  for (const { pointer, entry } of targetsOf(pools)) {
    if (entry.apiKey === undefined || keys.has(entry.apiKey)) continue;
    const value = resolveReference(entry.apiKey, readVariable);
    // A header value can't hold line breaks; a key with one is a file read wrongly.
    if (value === undefined || !/^[\x21-\x7e]+$/.test(value)) {
      faults.push(`${pointer}/apiKey: ${entry.apiKey} gives no usable key`);
    } else {
      keys.set(entry.apiKey, new Secret(value));
    }
  }
  if (faults.length > 0) throw new PoolFileError(faults);
  return keys;
}

function resolveReference(reference: string, readVariable: ReadVariable): string | undefined {
  if (reference.startsWith('env:')) return readVariable(reference.slice('env:'.length))?.trim();
  try {
    return readFileSync(reference.slice('file:'.length), 'utf8').trim();
  } catch {
    return undefined;
  }
}
