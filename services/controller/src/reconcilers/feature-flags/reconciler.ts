import { FLAGS_TOLD_FILE, FLAG_DEFAULTS } from '@arrakis/contracts';
import { readDocument, writeDocument, type NewStatement, type Statement } from '@arrakis/flags';
import type { ApiClient } from '../../kubernetes/api.client.ts';
import { CONFIG_MAPS, type ConfigMapObject } from '../../kubernetes/objects.ts';
import type { EventRecorder } from '../../runtime/event-recorder.ts';
import { NotLeadingError } from '../../runtime/leader-election.ts';
import type { MountingPods } from '../../mounts/mounting-pods.client.ts';
import type { FlagsBucket } from './bucket.client.ts';
import type { FlagsMetrics } from './metrics.ts';
import { nextDocument, planFlags, type FlagsPlan } from './plan.domain.ts';
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
  readonly document: NewStatement;
  /** Why NATS could not be told. */
  readonly failure?: Error;
}

interface Standing {
  readonly old: FlagsStatement | undefined;
  readonly statement: FlagsStatement;
  readonly document: NewStatement;
}

/**
 * ConfigMap → bucket; what was refused is said on the ConfigMap itself, and the bucket's document is
 * kept in it, for the files that pods mount. While NATS is away these carry a change instead, and their
 * kubelets are made to look at once.
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
    await this.#state(object, { old, statement, document: told.document });
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
      const document = this.#decide(object, plan, stored.statement);
      if (plan.tell) await this.#write(object, document, stored.sequence);
      return { plan, document };
    } catch (error) {
      const failure = failureOf(error);
      const lastGood = old?.effective ?? FLAG_DEFAULTS;
      const plan = planFlags({ data, lastGood, told: undefined });
      return { plan, document: this.#decide(object, plan, undefined), failure };
    }
  }

  #decide(
    { metadata, data }: ConfigMapObject,
    plan: FlagsPlan,
    stored: Statement | undefined,
  ): NewStatement {
    const carried = readDocument(data?.[FLAGS_TOLD_FILE] ?? '');
    const { resourceVersion = '' } = metadata;
    const atMs = this.#deps.now().getTime();
    return nextDocument(plan, { stored, carried }, { resourceVersion, atMs });
  }

  async #write(object: ConfigMapObject, document: NewStatement, sequence: number): Promise<void> {
    const { bucket, events, guard, metrics } = this.#deps;
    guard();
    await bucket.write(document, sequence);
    metrics.changed('nats');
    const note = `told to every service: ${JSON.stringify(document.flags)}`;
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
  async #state(object: ConfigMapObject, { old, statement, document }: Standing): Promise<void> {
    const told = writeDocument(document);
    if (isSameStatement(old, statement) && object.data?.[FLAGS_TOLD_FILE] === told) return;
    const { name, namespace = '', uid, resourceVersion } = object.metadata;
    await this.#deps.api.apply(CONFIG_MAPS, {
      ...{ apiVersion: 'v1', kind: 'ConfigMap' },
      metadata: {
        ...{ name, namespace },
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        annotations: { [STATEMENT_ANNOTATION]: JSON.stringify(statement) },
      },
      data: { [FLAGS_TOLD_FILE]: told },
    });
  }
}

/** @throws NotLeadingError: then nothing may be told in any way. */
function failureOf(error: unknown): Error {
  if (error instanceof NotLeadingError) throw error;
  return error instanceof Error ? error : new Error(String(error));
}
