import type { Registry } from 'prom-client';
import { createFlagsMetrics } from './reconcilers/feature-flags/metrics.ts';
import { createSigningKeyMetrics } from './reconcilers/signing-key/metrics.ts';
import { createRuntimeMetrics } from './runtime/metrics.ts';

export type ControllerMetrics = ReturnType<typeof createControllerMetrics>;

/** All that this process tells about itself, apart from its database pool. */
export function createControllerMetrics(registry: Registry) {
  return {
    runtime: createRuntimeMetrics(registry),
    signingKeys: createSigningKeyMetrics(registry),
    flags: createFlagsMetrics(registry),
  };
}
