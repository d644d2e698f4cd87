import { FLAG_DEFAULTS } from '@arrakis/contracts';
import { createRegistry, observeDatabasePool } from '@arrakis/service-kit';
import { createControllerMetrics } from '../../../services/controller/src/metrics.ts';

const NO_CONNECTIONS = { totalCount: 0, idleCount: 0, waitingCount: 0 };

/**
 * What the controller exposes when it leads and knows a SigningKey and the flags. Its own metrics, fed
 * by hand: the process itself needs an API server, which its own tests give it.
 */
export async function exerciseController(): Promise<string> {
  const registry = createRegistry('controller');
  const { runtime, signingKeys, flags } = createControllerMetrics(registry);
  observeDatabasePool(registry, NO_CONNECTIONS, 1);
  runtime.leaderChanged(true);
  runtime.apiRequest({ verb: 'list', resource: 'configmaps', code: 200 });
  runtime.apiRequest({ verb: 'update', resource: 'leases', code: 409 });
  for (const [controller, resource] of [
    ['signing-key', 'signingkeys'],
    ['feature-flags', 'configmaps'],
  ] as const) {
    runtime.observeQueue(controller);
    runtime.watchQueue(controller, { depth: 0, working: 0, delayed: 0 });
    runtime.observeWatch(resource, () => undefined).listed(1);
  }
  signingKeys.acted('publish');
  signingKeys.watch(() => [
    {
      metadata: { name: 'freeside' },
      spec: {
        issuer: 'loa-freeside',
        targets: {
          jwks: { service: 'api', port: 1 },
          signers: { service: 'api', port: 1 },
          verifiers: { service: 'finn', port: 1 },
        },
      },
      status: { phase: 'Active', nextRotationTime: '2026-01-01T00:00:00Z' },
    },
  ]);
  const said = {
    observedResourceVersion: '1',
    effective: FLAG_DEFAULTS,
    refused: {},
    carrier: 'nats',
  };
  flags.watch(() => ({
    metadata: {
      name: 'platform-flags',
      annotations: { 'flags.arrakis.community/status': JSON.stringify(said) },
    },
  }));
  return registry.metrics();
}
