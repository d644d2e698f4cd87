import { microForMetric } from '@arrakis/money';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Logger } from '@arrakis/service-kit';
import type { Equation } from './billing.domain.ts';

export interface LedgerEvents {
  conservationChecked(depth: 'quick' | 'full', drift: readonly Equation[]): void;
}

export function createLedgerEvents(registry: Registry, logger: Logger): LedgerEvents {
  const drift = new Gauge({
    name: 'freeside_conservation_drift_micro',
    help: 'Sum of the absolute drifts of all equations of the books; 0 when they balance.',
    labelNames: ['depth'],
    registers: [registry],
  });
  const violations = new Gauge({
    name: 'freeside_conservation_violations',
    help: 'Equations of the books that do not hold.',
    labelNames: ['depth'],
    registers: [registry],
  });
  const checks = new Counter({
    name: 'freeside_conservation_checks_total',
    help: 'Conservation checks, by whether the books balanced.',
    labelNames: ['depth', 'outcome'],
    registers: [registry],
  });
  for (const depth of ['quick', 'full']) checks.inc({ depth, outcome: 'violated' }, 0);
  return {
    conservationChecked(depth, violated) {
      const total = violated.reduce(
        (sum, { driftMicro }) => sum + (driftMicro < 0n ? -driftMicro : driftMicro),
        0n,
      );
      drift.set({ depth }, microForMetric(total));
      violations.set({ depth }, violated.length);
      checks.inc({ depth, outcome: violated.length === 0 ? 'balanced' : 'violated' });
      for (const { communityId, equation, driftMicro } of violated) {
        logger.error(
          { communityId, equation, driftMicro: driftMicro.toString() },
          'conservation violated',
        );
      }
    },
  };
}
