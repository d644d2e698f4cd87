import { FLAG_DEFAULTS } from '@arrakis/contracts';
import type { ApiClient } from '../../kubernetes/api.client.ts';
import { CONFIG_MAPS, type ConfigMapObject } from '../../kubernetes/objects.ts';
import type { EventRecorder } from '../../runtime/event-recorder.ts';
import { NotLeadingError } from '../../runtime/leader-election.ts';
import type { MountingPods } from '../../mounts/mounting-pods.client.ts';
import type { FlagsBucket } from './bucket.client.ts';
import type { FlagsMetrics } from './metrics.ts';
import { planFlags, type FlagsPlan } from './plan.domain.ts';
import {
  STATEMENT_ANNOTATION,
  isSameStatement,
  nextStatement,
  readStatement,
  type FlagsStatement,
} from './statement.domain.ts';

export const FLAGS_CONFIG_MAP = 'platform-flags';
export const FLAGS_REVISION_ANNOTATION = 'flags.arrakis.community/revision';
export const FLAGS_SELECTOR = 'flags.arrakis.community/platform=true';

export interface FlagsReconcilerDeps {
  readonly api: ApiClient;
  readonly bucket: FlagsBucket;
  readonly pods: MountingPods;
  readonly events: EventRecorder;
  readonly metrics: FlagsMetrics;
  readonly guard: () => void;
  readonly now: () => Date;
  readonly known: { get(name: string): ConfigMapObject | undefined };
}

/** The bucket tells nobody here when it is emptied or written past us: this often it is looked at. */
const STEADY_MS = 15_000;

interface Told {
  readonly plan: FlagsPlan;
  /** Why NATS could not be told. */
  readonly failure?: Error;
}

/**
 * ConfigMap → bucket; what was refused is said on the ConfigMap itself. While NATS is away the files
 * that pods mount carry the change instead, and their kubelets are made to look at once.
 */
export class FlagsReconciler {
  readonly #deps: FlagsReconcilerDeps;

  constructor(deps: FlagsReconcilerDeps) {
    this.#deps = deps;
  }

  /** @throws what NATS failed with, after the other way was gone: to be tried again. */
  async reconcile(name: string): Promise<number | undefined> {
    const known = this.#deps.known.get(name);
    if (known === undefined || name !== FLAGS_CONFIG_MAP) return undefined;
    const object = { ...known, apiVersion: 'v1', kind: 'ConfigMap' };
    const old = readStatement(object.metadata.annotations?.[STATEMENT_ANNOTATION]);
    const told = await this.#tell(object, old);
    await this.#refuse(object, told.plan);
    const statement = nextStatement(old, told.plan, {
      resourceVersion: object.metadata.resourceVersion ?? '',
      isTold: told.failure === undefined,
    });
    await this.#state(object, old, statement);
    if (told.failure === undefined) return STEADY_MS;
    if (statement.carrier === 'files') await this.#carryByFiles(object, statement);
    throw told.failure;
  }

  async #tell(object: ConfigMapObject, old: FlagsStatement | undefined): Promise<Told> {
    const data = object.data ?? {};
    try {
      const stored = await this.#deps.bucket.read();
      const plan = planFlags({
        data,
        lastGood: old?.effective ?? stored.flags,
        told: stored.statement === undefined ? undefined : stored.flags,
      });
      if (plan.tell) await this.#write(object, plan, stored.sequence);
      return { plan };
    } catch (error) {
      const failure = failureOf(error);
      const lastGood = old?.effective ?? FLAG_DEFAULTS;
      return { plan: planFlags({ data, lastGood, told: undefined }), failure };
    }
  }

  async #write(object: ConfigMapObject, plan: FlagsPlan, sequence: number): Promise<void> {
    const { bucket, events, guard, metrics, now } = this.#deps;
    guard();
    const { resourceVersion: revision = '' } = object.metadata;
    const changedAtMs = now().getTime();
    await bucket.write({ flags: plan.effective, revision, changedAtMs }, sequence);
    metrics.changed('nats');
    const note = `told to every service: ${JSON.stringify(plan.effective)}`;
    await events.record(object, { type: 'Normal', reason: 'FlagsTold', note });
  }

  async #refuse(object: ConfigMapObject, plan: FlagsPlan): Promise<void> {
    for (const [flag, reason] of Object.entries(plan.refused)) {
      const note = `${flag} ${reason}; the last good value holds`;
      await this.#deps.events.record(object, { type: 'Warning', reason: 'FlagRefused', note });
    }
  }

  async #carryByFiles(object: ConfigMapObject, statement: FlagsStatement): Promise<void> {
    const { pods, events } = this.#deps;
    const poked = await pods.poke(
      { kind: 'ConfigMap', name: FLAGS_CONFIG_MAP },
      statement.observedResourceVersion,
    );
    if (poked === 0) return;
    this.#deps.metrics.changed('files');
    const note = `NATS can not be told; ${poked} pods read the mounted files at once: ${JSON.stringify(statement.effective)}`;
    await events.record(object, { type: 'Warning', reason: 'FlagsToldByFiles', note });
  }

  /** Before the pods: who takes over after a crash finds the change under the same version. */
  async #state(
    object: ConfigMapObject,
    old: FlagsStatement | undefined,
    statement: FlagsStatement,
  ): Promise<void> {
    if (isSameStatement(old, statement)) return;
    const { name, namespace = '', uid, resourceVersion } = object.metadata;
    await this.#deps.api.apply(CONFIG_MAPS, {
      ...{ apiVersion: 'v1', kind: 'ConfigMap' },
      metadata: {
        ...{ name, namespace },
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        annotations: { [STATEMENT_ANNOTATION]: JSON.stringify(statement) },
      },
    });
  }
}

/** @throws NotLeadingError: then nothing may be told in any way. */
function failureOf(error: unknown): Error {
  if (error instanceof NotLeadingError) throw error;
  return error instanceof Error ? error : new Error(String(error));
}
