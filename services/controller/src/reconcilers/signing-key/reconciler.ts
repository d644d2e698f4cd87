import { deleteKey } from '@arrakis/signing-keys';
import { isNotFound } from '../../kubernetes/api-error.ts';
import type { EventRecorder } from '../../runtime/event-recorder.ts';
import type { MountingPods } from '../../mounts/mounting-pods.client.ts';
import { apply, type ApplyDeps } from './apply.ts';
import { DELETION_RETRY_MS, planDeletion } from './deletion.domain.ts';
import type { Plan } from './draft.domain.ts';
import { answer, gather, seeSigners, type GatherDeps, type Gathered } from './gather.ts';
import { ownerOf } from './owner.domain.ts';
import { plan } from './plan.domain.ts';
import {
  API_VERSION,
  FINALIZER,
  KIND,
  SIGNING_KEYS,
  secretNameOf,
  type SigningKeyObject,
} from './resource.ts';
import { isSameStatus, readRecorded, writeStatus } from './status.ts';
import type { Seen } from './world.domain.ts';

export interface ReconcilerDeps extends GatherDeps, ApplyDeps {
  readonly events: EventRecorder;
  /** As the watch last told. */
  readonly known: {
    get(name: string): SigningKeyObject | undefined;
    list(): readonly SigningKeyObject[];
  };
  readonly onAction: (action: string) => void;
  readonly pods: MountingPods;
  readonly onPokeFailed: (error: unknown) => void;
}

/** More questions than this about one world and the planner goes in circles. */
const MAX_QUESTIONS = 4;

/** One look at one SigningKey: gather, plan, apply, record. Everything else happens at the next look. */
export class SigningKeyReconciler {
  readonly #deps: ReconcilerDeps;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  /** @returns after how many ms to look again; `undefined` when nothing will change by itself. */
  async reconcile(name: string): Promise<number | undefined> {
    const known = this.#deps.known.get(name);
    if (known === undefined) return undefined;
    const isDeleted = known.metadata.deletionTimestamp !== undefined;
    const owner = ownerOf(this.#deps.known.list(), known);
    if (owner !== name && !isDeleted) return this.#refuse(known, owner);
    const fresh = await this.#read(known);
    if (fresh === undefined) return undefined;
    if (fresh.metadata.deletionTimestamp !== undefined) return this.#remove(fresh, owner === name);
    return this.#advance(await this.#withFinalizer(fresh));
  }

  async #read({ metadata }: SigningKeyObject): Promise<SigningKeyObject | undefined> {
    const { namespace = '', name } = metadata;
    try {
      const object = await this.#deps.api.get<SigningKeyObject>(SIGNING_KEYS, { namespace, name });
      return { ...object, apiVersion: API_VERSION, kind: KIND };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #advance(object: SigningKeyObject): Promise<number> {
    const { plan: decided, gathered } = await this.#decide(object);
    if (decided.action !== undefined) {
      this.#deps.onAction(decided.action.do);
      await apply(this.#deps, object, gathered.material, decided.action);
    }
    await this.#hurrySwitch(object, decided.record);
    await this.#writeStatus(object, decided.record);
    for (const event of decided.events) await this.#deps.events.record(object, event);
    return decided.wakeAfterMs;
  }

  /** Signers find the new key in a mounted file; without this their kubelets take a minute or more. */
  async #hurrySwitch(object: SigningKeyObject, record: Plan['record']): Promise<void> {
    const { activeKid, keys } = record;
    const active = keys.find(({ kid }) => kid === activeKid);
    if (active === undefined || active.activatedAt !== undefined) return;
    const secret = { kind: 'Secret', name: secretNameOf(object.metadata.name) } as const;
    // The switch also comes without: slower.
    await this.#deps.pods.poke(secret, active.kid).catch(this.#deps.onPokeFailed);
  }

  async #decide(object: SigningKeyObject): Promise<{ plan: Plan; gathered: Gathered }> {
    const gathered = await gather(this.#deps, object);
    let seen: Seen = {};
    for (let asked = 0; asked < MAX_QUESTIONS; asked += 1) {
      const decided = plan({ ...gathered.world, now: this.#deps.now(), seen });
      if (decided.ask === undefined) return { plan: decided, gathered };
      seen = { ...seen, ...(await answer(this.#deps, object, gathered.material, decided.ask)) };
    }
    throw new Error('the planner asks without end');
  }

  async #writeStatus(object: SigningKeyObject, record: Plan['record']): Promise<void> {
    const status = writeStatus(object, record, this.#deps.now());
    if (isSameStatus(object.status, status)) return;
    const { namespace = '', name, uid, resourceVersion } = object.metadata;
    await this.#deps.api.apply(
      SIGNING_KEYS,
      {
        ...{ apiVersion: API_VERSION, kind: KIND },
        metadata: {
          ...{ name, namespace },
          ...(uid === undefined ? {} : { uid }),
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        },
        status,
      },
      'status',
    );
  }

  async #withFinalizer(object: SigningKeyObject): Promise<SigningKeyObject> {
    if (object.metadata.finalizers?.includes(FINALIZER) === true) return object;
    const written = await this.#setFinalizers(object, [
      ...(object.metadata.finalizers ?? []),
      FINALIZER,
    ]);
    return { ...written, apiVersion: API_VERSION, kind: KIND };
  }

  /** A merge patch with a precondition: apply can't take away what another put there. */
  #setFinalizers(object: SigningKeyObject, finalizers: string[]): Promise<SigningKeyObject> {
    const { namespace = '', name, resourceVersion } = object.metadata;
    return this.#deps.api.mergePatch<SigningKeyObject>(
      SIGNING_KEYS,
      { namespace, name },
      { metadata: { resourceVersion, finalizers } },
    );
  }

  /** Two resources for one issuer would fight over its keys: the older one has them. */
  async #refuse(object: SigningKeyObject, owner: string): Promise<number | undefined> {
    const known = { ...object, apiVersion: API_VERSION, kind: KIND };
    const message = `${owner} already has the keys of ${object.spec.issuer}; this resource does nothing`;
    await this.#writeStatus(known, {
      phase: 'Failed',
      activeKid: undefined,
      lastRotateRequest: undefined,
      nextRotationAt: undefined,
      keys: [],
      conditions: [
        { type: 'Ready', isTrue: false, reason: 'IssuerTaken', message },
        { type: 'Rotating', isTrue: false, reason: 'Idle', message: 'no rotation is under way' },
        { type: 'Degraded', isTrue: true, reason: 'IssuerTaken', message },
      ],
    });
    return undefined;
  }

  async #remove(object: SigningKeyObject, isOwner: boolean): Promise<number | undefined> {
    const { finalizers = [], deletionTimestamp = '' } = object.metadata;
    if (!finalizers.includes(FINALIZER)) return undefined;
    if (isOwner) {
      const { material } = await gather(this.#deps, object);
      const kids = [
        ...material.pems.map(({ kid }) => kid),
        ...readRecorded(object.status).keys.map(({ kid }) => kid),
      ];
      const decided = planDeletion({
        now: this.#deps.now(),
        requestedAt: new Date(deletionTimestamp),
        kids,
        signers: await seeSigners(this.#deps, object),
      });
      await this.#deps.events.record(object, decided.event);
      if (!decided.release) return DELETION_RETRY_MS;
      for (const kid of new Set(kids)) {
        this.#deps.guard();
        await deleteKey(this.#deps.db, kid);
      }
    }
    await this.#setFinalizers(
      object,
      finalizers.filter((finalizer) => finalizer !== FINALIZER),
    );
    return undefined;
  }
}
