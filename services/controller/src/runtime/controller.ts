import type { Logger } from '@arrakis/service-kit';
import { ApiClient, type ApiClientOptions, type Selection } from '../kubernetes/api.client.ts';
import { isConflict } from '../kubernetes/api-error.ts';
import type { KubeObject, Resource } from '../kubernetes/objects.ts';
import type { BackoffOptions } from './backoff.domain.ts';
import { Informer, type InformerOptions } from './informer.ts';
import type { RuntimeMetrics } from './metrics.ts';
import { WorkQueue } from './work-queue.ts';

/** Looks at one object by name. @returns after how many ms to look again by itself. */
export type Reconcile = (name: string) => Promise<number | undefined>;

export interface ControllerOptions<T extends KubeObject> {
  /** Lower-case, with dashes: in metrics and logs. */
  readonly name: string;
  readonly connection: Pick<ApiClientOptions, 'connection' | 'onRequest'>;
  readonly resource: Resource;
  readonly selection: Selection;
  /** Made once the objects are being watched. */
  readonly reconciler: (known: Informer<T>) => Reconcile;
  readonly parallelism: number;
  readonly backoff?: BackoffOptions;
  readonly metrics: RuntimeMetrics;
  readonly logger: Logger;
  readonly tuning?: Pick<
    InformerOptions,
    'watchSeconds' | 'deadAfterMs' | 'verifyEveryMs' | 'verifyGraceMs'
  >;
}

/** Lives as long as one term of leadership: a watch, a queue, and what looks at each key. */
export interface RunningController {
  readonly queue: WorkQueue;
  readonly isSynced: () => boolean;
  close(): Promise<void>;
}

export function startController<T extends KubeObject>(
  options: ControllerOptions<T>,
): RunningController {
  const { name, metrics, logger, resource } = options;
  // A connection of its own: when a watch goes silent all of them are cut.
  const api = new ApiClient(options.connection);
  const queue = new WorkQueue({
    parallelism: options.parallelism,
    ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
    work: (key) => reconcile(key),
    observe: metrics.observeQueue(name),
    onError: (key, error, failures) => {
      const level = isNews(error, failures) ? 'warn' : 'debug';
      logger[level]({ err: error, controller: name, key, failures }, 'reconcile failed');
    },
  });
  const informer = new Informer<T>({
    api,
    resource,
    selection: options.selection,
    onChange: (key) => {
      queue.add(key);
      if (informer.get(key) !== undefined) return;
      queue.forget(key);
      // Another resource may have waited for this one to go.
      for (const other of informer.list()) queue.add(other.metadata.name);
    },
    events: metrics.observeWatch(resource.plural, (error) =>
      logger.warn({ err: error, controller: name }, 'watch failed'),
    ),
    ...options.tuning,
  });
  const reconcile = options.reconciler(informer);
  metrics.watchQueue(name, queue);
  informer.start();
  return {
    queue,
    isSynced: () => informer.isSynced,
    close: async () => {
      await Promise.all([informer.close(), queue.close()]);
      await api.close();
    },
  };
}

/** The first time, and ever more rarely: what is tried every second or two would fill the log. */
function isNews(error: unknown, failures: number): boolean {
  if (isConflict(error) && failures < 3) return false;
  return Number.isInteger(Math.log2(failures));
}
