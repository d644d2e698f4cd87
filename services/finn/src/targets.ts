import { POOLS, type Pool } from '@arrakis/contracts';
import type { Logger, Secret } from '@arrakis/service-kit';
import type { FinnConfig } from './config/config.ts';
import type { FinnEvents } from './events.ts';
import type { TargetEntry } from './features/pools/pool-file.domain.ts';
import type { TargetsByPool } from './features/pools/service.ts';
import { Target } from './features/pools/target.ts';
import { createProvider } from './features/providers/registry.ts';

const CONNECT_TIMEOUT_MS = 5_000;

export interface TargetDeps {
  readonly config: FinnConfig;
  readonly apiKeys: ReadonlyMap<string, Secret>;
  readonly logger: Logger;
  readonly events: FinnEvents;
  readonly nowMs: () => number;
}

/** The targets that the pool file describes. One name is one target, with one breaker. */
export function createTargets(deps: TargetDeps): TargetsByPool {
  const byName = new Map<string, Target>();
  const targetFor = (entry: TargetEntry): Target => {
    const target = byName.get(entry.name) ?? createTarget(entry, deps);
    byName.set(entry.name, target);
    return target;
  };
  const { pools } = deps.config.pools;
  return Object.fromEntries(
    POOLS.map((pool) => [pool, pools[pool].targets.map(targetFor)]),
  ) as unknown as Record<Pool, Target[]>;
}

function createTarget(entry: TargetEntry, deps: TargetDeps): Target {
  const { config, apiKeys, logger, events, nowMs } = deps;
  const { provider: kind, apiKey, baseUrl, tokenizer, maxTokensField, wordDelayMs } = entry;
  events.targetKnown(entry.name);
  const provider = createProvider(
    {
      provider: kind,
      baseUrl,
      apiKey: apiKey === undefined ? undefined : apiKeys.get(apiKey)?.reveal(),
      tokenizer,
      maxTokensField,
      wordDelayMs,
      timeouts: {
        connectMs: CONNECT_TIMEOUT_MS,
        idleMs: config.provider.idleTimeoutMs,
        totalMs: config.provider.totalTimeoutMs,
      },
      modelDir: config.modelDir,
    },
    { log: logger },
  );
  return new Target({
    name: entry.name,
    provider,
    model: entry.model,
    maxConcurrency: entry.maxConcurrency,
    contextTokens: entry.contextTokens,
    nowMs,
    onBreakerChanged: (target, state) => events.breakerChanged(target, state),
  });
}
