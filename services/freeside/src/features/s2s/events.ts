import type { Logger } from '@arrakis/service-kit';
import { Counter, Gauge, type Registry } from 'prom-client';
import { KeyStoreError, type KeyStoreFault } from './signing-key-store.ts';

const FAULTS: readonly KeyStoreFault[] = [
  'empty',
  'permissions',
  'malformed',
  'mismatch',
  'unreadable',
];

/** What happens to signing keys, as metric and log line together. Never holds key material. */
export interface S2SEvents {
  /** The process signs with this key now; said again when a fault of the store is mended. */
  keyActivated(kid: string): void;
  /** The key store can't be used as it is; `servingKid` goes on signing. */
  keyStoreFaulty(error: unknown, servingKid: string): void;
  /** The key set was read. `activeKeyExpiresAt` is absent when the active key isn't published. */
  jwksLoaded(keyCount: number, activeKeyExpiresAt: Date | undefined): void;
  jwksLoadFailed(error: unknown): void;
}

export function createS2SEvents(registry: Registry, logger: Logger): S2SEvents {
  const registers = [registry];
  const healthy = new Gauge({
    name: 'freeside_s2s_key_store_healthy',
    help: '1 when the key store named a usable active key at the last look, else 0.',
    registers,
  });
  const faults = countFaults(registers);
  const activations = new Counter({
    name: 'freeside_s2s_key_activations_total',
    help: 'Times this process began to sign with another key, its start included.',
    registers,
  });
  const published = new Gauge({
    name: 'freeside_s2s_jwks_keys',
    help: 'Keys in the key set as last read.',
    registers,
  });
  const expiry = new Gauge({
    name: 'freeside_s2s_active_key_expires_timestamp_seconds',
    help: 'When the active key leaves the key set; 0 when it is not in it: no token is accepted.',
    registers,
  });
  const loadFailures = new Counter({
    name: 'freeside_s2s_jwks_load_failures_total',
    help: 'Reads of the key set from the database that failed.',
    registers,
  });
  let activeKid: string | undefined;
  let lastFault: string | undefined;
  return {
    keyActivated(kid) {
      healthy.set(1);
      const mended = lastFault !== undefined;
      lastFault = undefined;
      if (kid !== activeKid) {
        activations.inc();
        logger.info({ kid, previousKid: activeKid }, 'signing key activated');
        activeKid = kid;
      } else if (mended) {
        logger.info({ kid }, 'key store is usable again');
      }
    },
    keyStoreFaulty(error, servingKid) {
      const fault = error instanceof KeyStoreError ? error.fault : 'unreadable';
      healthy.set(0);
      faults.labels(fault).inc();
      // The store is looked at every second; the same fault is worth one line.
      const message = error instanceof Error ? error.message : fault;
      if (message === lastFault) return;
      lastFault = message;
      logger.error(
        { err: error, fault, servingKid },
        'key store is unusable, the last good key signs',
      );
    },
    jwksLoaded(keyCount, activeKeyExpiresAt) {
      published.set(keyCount);
      expiry.set(activeKeyExpiresAt === undefined ? 0 : activeKeyExpiresAt.getTime() / 1000);
    },
    jwksLoadFailed(error) {
      loadFailures.inc();
      logger.warn({ err: error }, 'reading the key set failed');
    },
  };
}

function countFaults(registers: Registry[]): Counter<'fault'> {
  const faults = new Counter({
    name: 'freeside_s2s_key_store_faults_total',
    help: 'Looks at the key store that found it unusable, by fault.',
    labelNames: ['fault'] as const,
    registers,
  });
  for (const fault of FAULTS) faults.inc({ fault }, 0);
  return faults;
}
