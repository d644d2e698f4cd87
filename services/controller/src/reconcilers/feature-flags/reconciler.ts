import type { ApiClient } from '../../kubernetes/api.client.ts';
import { CONFIG_MAPS, type ConfigMapObject } from '../../kubernetes/objects.ts';
import type { EventRecorder } from '../../runtime/event-recorder.ts';
import type { FlagsBucket } from './bucket.client.ts';
import { planFlags, type FlagsPlan } from './plan.domain.ts';

export const FLAGS_CONFIG_MAP = 'platform-flags';
export const FLAGS_SELECTOR = 'flags.arrakis.community/platform=true';
const STATUS_ANNOTATION = 'flags.arrakis.community/status';

export interface FlagsReconcilerDeps {
  readonly api: ApiClient;
  readonly bucket: FlagsBucket;
  readonly events: EventRecorder;
  readonly guard: () => void;
  readonly now: () => Date;
  readonly known: { get(name: string): ConfigMapObject | undefined };
}

/** The bucket tells nobody here when it is emptied or written past us: this often it is looked at. */
const STEADY_MS = 15_000;

/** ConfigMap → bucket; what was refused is said on the ConfigMap itself. */
export class FlagsReconciler {
  readonly #deps: FlagsReconcilerDeps;

  constructor(deps: FlagsReconcilerDeps) {
    this.#deps = deps;
  }

  async reconcile(name: string): Promise<number | undefined> {
    const known = this.#deps.known.get(name);
    if (known === undefined || name !== FLAGS_CONFIG_MAP) return undefined;
    const object = { ...known, apiVersion: 'v1', kind: 'ConfigMap' };
    const stored = await this.#deps.bucket.read();
    const { resourceVersion = '' } = object.metadata;
    const plan = planFlags({
      resourceVersion,
      data: object.data ?? {},
      lastGood: stored.flags,
      isTold: stored.statement !== undefined,
    });
    if (plan.tell) {
      this.#deps.guard();
      const changedAtMs = this.#deps.now().getTime();
      await this.#deps.bucket.write(
        { flags: plan.effective, revision: resourceVersion, changedAtMs },
        stored.sequence,
      );
      const note = `told to every service: ${JSON.stringify(plan.effective)}`;
      await this.#deps.events.record(object, { type: 'Normal', reason: 'FlagsTold', note });
    }
    await this.#refuse(object, plan);
    await this.#annotate(object, plan);
    return STEADY_MS;
  }

  async #refuse(object: ConfigMapObject, plan: FlagsPlan): Promise<void> {
    for (const [flag, reason] of Object.entries(plan.refused)) {
      const note = `${flag} ${reason}; the last good value holds`;
      await this.#deps.events.record(object, { type: 'Warning', reason: 'FlagRefused', note });
    }
  }

  /** `observedResourceVersion` is the one at which this came to hold: writing it makes another. */
  async #annotate(object: ConfigMapObject, plan: FlagsPlan): Promise<void> {
    const { metadata } = object;
    const said = readStatus(metadata.annotations?.[STATUS_ANNOTATION]);
    const isSame =
      JSON.stringify([said?.effective, said?.refused]) ===
      JSON.stringify([plan.effective, plan.refused]);
    if (isSame) return;
    const status = {
      observedResourceVersion: metadata.resourceVersion,
      effective: plan.effective,
      refused: plan.refused,
    };
    await this.#deps.api.apply(CONFIG_MAPS, {
      ...{ apiVersion: 'v1', kind: 'ConfigMap' },
      metadata: {
        name: metadata.name,
        namespace: metadata.namespace ?? '',
        ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
        ...(metadata.resourceVersion === undefined
          ? {}
          : { resourceVersion: metadata.resourceVersion }),
        annotations: { [STATUS_ANNOTATION]: JSON.stringify(status) },
      },
    });
  }
}

interface Said {
  readonly effective: unknown;
  readonly refused: unknown;
}

function readStatus(text: string | undefined): Said | undefined {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as Said);
  } catch {
    return undefined;
  }
}
