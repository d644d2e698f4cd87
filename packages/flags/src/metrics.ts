import { FLAG_NAMES } from '@arrakis/contracts';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Effective, FlagsSource } from './effective.domain.ts';
import type { KvState } from './kv-source.ts';

export interface FlagMetrics {
  /** A change began to hold here, so many seconds after it was made. */
  effected(source: FlagsSource, seconds: number): void;
  refused(source: FlagsSource): void;
  healed(): void;
}

const SOURCES: readonly FlagsSource[] = ['default', 'file', 'kv'];
const KV_STATES: readonly KvState[] = ['live', 'empty', 'away'];
/** The promise is 2 s, and a minute without NATS. */
const EFFECT_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120];

/**
 * Both are read when the metrics are.
 *
 * @param kvState undefined without a NATS to ask
 */
export function createFlagMetrics(
  registry: Registry,
  effective: () => Effective,
  kvState: () => KvState | undefined,
): FlagMetrics {
  const registers = [registry];
  observeHolding(registers, effective, kvState);
  const effects = new Histogram({
    name: 'flag_effect_seconds',
    help: 'Seconds from a change of a flag to its effect in this process; for files, from when they were written.',
    labelNames: ['source'],
    buckets: EFFECT_BUCKETS,
    registers,
  });
  const refusals = new Counter({
    name: 'flags_refused_total',
    help: 'Flag values that were not believed, by source; the last good one goes on.',
    labelNames: ['source'],
    registers,
  });
  const heals = new Counter({
    name: 'flags_missed_then_healed_total',
    help: 'Changes of the bucket that the watch missed and the regular look found.',
    registers,
  });
  return {
    effected: (source, seconds) => effects.observe({ source }, seconds),
    refused: (source) => refusals.inc({ source }),
    healed: () => heals.inc(),
  };
}

function observeHolding(
  registers: Registry[],
  effective: () => Effective,
  kvState: () => KvState | undefined,
): void {
  new Gauge({
    name: 'flag_enabled',
    help: 'Whether a feature is switched on in this process: 1 on, 0 off.',
    labelNames: ['flag'],
    registers,
    collect() {
      const { values } = effective();
      for (const name of FLAG_NAMES) this.set({ flag: name }, values[name] ? 1 : 0);
    },
  });
  new Gauge({
    name: 'flags_source',
    help: 'On whose word the flags hold: 1 for the bucket (kv), the mounted files (file) or nobody (default).',
    labelNames: ['source'],
    registers,
    collect() {
      for (const source of SOURCES) this.set({ source }, source === effective().source ? 1 : 0);
    },
  });
  new Gauge({
    name: 'flags_bucket_state',
    help: 'Whether the bucket answers: 1 for live, empty (NATS has no value) or away; all 0 without a NATS to ask.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const state of KV_STATES) this.set({ state }, state === kvState() ? 1 : 0);
    },
  });
}
