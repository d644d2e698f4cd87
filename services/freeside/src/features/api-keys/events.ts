import type { Logger } from '@arrakis/service-kit';
import { Counter, Gauge, type Registry } from 'prom-client';

export type AuthenticationOutcome =
  'ok' | 'unauthorized' | 'invalid_api_key' | 'rate_limited' | 'unavailable';

/** What happens to API keys, as metric and log line together. */
export interface ApiKeyEvents {
  authenticated(outcome: AuthenticationOutcome): void;
  /** A key's hash was made with a pepper that isn't configured any more: it can't be verified. */
  pepperMissing(pepperVersion: number, keyPrefix: string): void;
  lookupFailed(error: unknown): void;
  lastUsedFailed(error: unknown): void;
}

/** How many records the process holds, read when the metrics are. */
export type CacheSize = () => { readonly known: number; readonly unknown: number };

export function createApiKeyEvents(registry: Registry, logger: Logger): ApiKeyEvents {
  const registers = [registry];
  const authentications = new Counter({
    name: 'freeside_api_key_authentications_total',
    help: 'Requests that presented, or should have presented, an API key, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  const ok = authentications.labels('ok');
  const peppersMissing = new Counter({
    name: 'freeside_api_key_pepper_missing_total',
    help: 'Verifications refused because the pepper version of the key is not configured.',
    labelNames: ['pepper_version'],
    registers,
  });
  const lookupFailures = new Counter({
    name: 'freeside_api_key_lookup_failures_total',
    help: 'Database lookups of API keys that failed.',
    registers,
  });
  const lastUsedFailures = new Counter({
    name: 'freeside_api_key_last_used_failures_total',
    help: 'Batches of last_used_at that could not be written and were kept for the next one.',
    registers,
  });
  return {
    authenticated(outcome) {
      if (outcome === 'ok') ok.inc();
      else authentications.labels(outcome).inc();
    },
    pepperMissing(pepperVersion, keyPrefix) {
      peppersMissing.labels(String(pepperVersion)).inc();
      logger.error({ pepperVersion, keyPrefix }, 'the pepper of an API key is not configured');
    },
    lookupFailed(error) {
      lookupFailures.inc();
      logger.warn({ err: error }, 'looking up API keys failed');
    },
    lastUsedFailed(error) {
      lastUsedFailures.inc();
      logger.warn({ err: error }, 'writing last_used_at failed');
    },
  };
}

/** Publishes the sizes of the key cache. */
export function observeCacheSize(registry: Registry, size: CacheSize): void {
  new Gauge({
    name: 'freeside_api_key_cache_entries',
    help: 'Prefixes held in the key cache, by whether the database knows them.',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      const { known, unknown } = size();
      this.set({ kind: 'known' }, known);
      this.set({ kind: 'unknown' }, unknown);
    },
  });
}
