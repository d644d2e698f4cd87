import { Registry, collectDefaultMetrics } from 'prom-client';

/**
 * A registry of its own for one process: the default metrics (CPU, memory, garbage collection,
 * event-loop delay) and whatever the service adds, each series labelled with `service`.
 */
export function createRegistry(service: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  return registry;
}
