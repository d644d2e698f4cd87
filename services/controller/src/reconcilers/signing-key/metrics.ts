import { Counter, Gauge, type Registry } from 'prom-client';
import type { Condition, KeyPhase, SigningKeyObject } from './resource.ts';

/** Those that a resource as a whole can be in; single keys also retire. */
const PHASES: readonly KeyPhase[] = ['Publishing', 'Propagating', 'Canary', 'Active', 'Failed'];
const CONDITIONS: readonly Condition['type'][] = ['Ready', 'Rotating', 'Degraded'];

type List = () => readonly SigningKeyObject[];

/**
 * What resources say of themselves, read when the metrics are. Only the leader knows them: another
 * would go on telling what it knew when it led.
 */
export function createSigningKeyMetrics(registry: Registry) {
  const actions = new Counter({
    name: 'controller_signing_key_actions_total',
    help: 'What was done about signing keys, by action.',
    labelNames: ['action'] as const,
    registers: [registry],
  });
  let list: List = () => [];
  observePhases(registry, () => list());
  observeConditions(registry, () => list());
  observeNextRotations(registry, () => list());
  return {
    acted: (action: string) => actions.inc({ action }),
    /** Of the running term. */
    watch: (known: List) => {
      list = known;
    },
    forget: () => {
      list = () => [];
    },
  };
}

function observePhases(registry: Registry, list: List): void {
  new Gauge({
    name: 'controller_signing_key_phase',
    help: 'Phase of the newest key of a SigningKey that is not done: 1 for the one it is in, else 0. Leader only.',
    labelNames: ['signing_key', 'phase'] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { metadata, status } of list()) {
        for (const phase of PHASES) {
          this.set({ signing_key: metadata.name, phase }, status?.phase === phase ? 1 : 0);
        }
      }
    },
  });
}

function observeConditions(registry: Registry, list: List): void {
  new Gauge({
    name: 'controller_signing_key_condition',
    help: 'Conditions of a SigningKey: 1 for True, 0 for False. Leader only.',
    labelNames: ['signing_key', 'condition'] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { metadata, status } of list()) {
        for (const type of CONDITIONS) {
          const found = status?.conditions?.find((condition) => condition.type === type);
          const value = found?.status === 'True' ? 1 : 0;
          this.set({ signing_key: metadata.name, condition: type }, value);
        }
      }
    },
  });
}

function observeNextRotations(registry: Registry, list: List): void {
  new Gauge({
    name: 'controller_signing_key_next_rotation_timestamp_seconds',
    help: 'When the next rotation of a SigningKey is due. Leader only.',
    labelNames: ['signing_key'] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { metadata, status } of list()) {
        const time = Date.parse(status?.nextRotationTime ?? '');
        if (!Number.isNaN(time)) this.set({ signing_key: metadata.name }, time / 1000);
      }
    },
  });
}
