import { Counter, Gauge, type Registry } from 'prom-client';
import type { ConfigMapObject } from '../../kubernetes/objects.ts';
import { STATEMENT_ANNOTATION, readStatement, type FlagsStatement } from './statement.domain.ts';

type Known = () => ConfigMapObject | undefined;

export type FlagsMetrics = ReturnType<typeof createFlagsMetrics>;

/** What the controller tells about the flags' ConfigMap. */
export function createFlagsMetrics(registry: Registry) {
  const registers = [registry];
  let known: Known = () => undefined;
  new Gauge({
    name: 'controller_flags_refused',
    help: 'Flags of the ConfigMap whose value is refused now; their last good one holds. Leader only, else 0.',
    registers,
    collect() {
      const text = known()?.metadata.annotations?.[STATEMENT_ANNOTATION];
      this.set(Object.keys(readStatement(text)?.refused ?? {}).length);
    },
  });
  const changes = new Counter({
    name: 'controller_flag_changes_total',
    help: 'Changes of the flags that were passed on, by carrier: nats, or files while NATS is away.',
    labelNames: ['carrier'] as const,
    registers,
  });
  const poked = new Counter({
    name: 'controller_flag_pods_poked_total',
    help: 'Pods whose kubelet was made to refresh the mounted flags at once.',
    registers,
  });
  for (const carrier of ['nats', 'files'] as const) changes.inc({ carrier }, 0);
  return {
    changed: (carrier: FlagsStatement['carrier']) => changes.inc({ carrier }),
    poked: (pods: number) => poked.inc(pods),
    /** Of the running term: the ConfigMap as the watch last told. */
    watch: (configMap: Known) => {
      known = configMap;
    },
    forget: () => {
      known = () => undefined;
    },
  };
}
