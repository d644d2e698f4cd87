import { kidCreatedAtSeconds } from '@arrakis/signing-keys/kid.domain.ts';
import type { ActiveState } from './active.domain.ts';
import { SPARE_LIFE_MS } from './life.domain.ts';
import {
  isLiveRow,
  plusMs,
  rowOf,
  type Action,
  type KeyPhase,
  type KeyRecord,
  type Question,
  type World,
} from './world.domain.ts';

export interface PlannedEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly note: string;
}

export interface PlannedCondition {
  readonly type: 'Ready' | 'Rotating' | 'Degraded';
  readonly isTrue: boolean;
  readonly reason: string;
  readonly message: string;
}

export interface Plan {
  /** To be answered, and planned again, before anything else. */
  readonly ask: Question | undefined;
  readonly action: Action | undefined;
  /** The status as it is to be written. */
  readonly record: {
    readonly phase: KeyPhase;
    readonly activeKid: string | undefined;
    readonly lastRotateRequest: string | undefined;
    readonly nextRotationAt: Date | undefined;
    readonly keys: readonly KeyRecord[];
    readonly conditions: readonly PlannedCondition[];
  };
  readonly events: readonly PlannedEvent[];
  readonly wakeAfterMs: number;
}

interface Waiting {
  readonly reason: string;
  readonly message: string;
}

type DraftRecord = KeyRecord & { readonly isNew?: boolean };

/** A Secret and a table tell nobody when they are changed: this often they are looked at. */
const STEADY_MS = 15_000;
/** What could not be confirmed is asked again so soon. */
const RETRY_MS = 2_000;
const KEPT_RETIRED = 5;

/** A plan in the making. */
export class Draft {
  readonly #world: World;
  readonly #records = new Map<string, DraftRecord>();
  readonly #events: PlannedEvent[] = [];
  readonly #waits: Waiting[] = [];
  #fault: Waiting | undefined;
  #ask: Question | undefined;
  #action: Action | undefined;
  #wakeMs = STEADY_MS;
  #lastRotateRequest: string | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#lastRotateRequest = world.recorded.lastRotateRequest;
    for (const record of world.recorded.keys) this.#records.set(record.kid, record);
  }

  /** What follows from which key is active, before any rule is tried. */
  begin(active: ActiveState, candidate: string | undefined): void {
    if (active.is === 'usable') this.#beginActive(active.kid);
    if (active.is === 'strayed') this.#beginStrayed(active.kid);
    for (const { kid, phase } of this.#world.recorded.keys) {
      const isReplaced = active.is !== 'none' && phase === 'Active' && kid !== active.kid;
      if (isReplaced) this.set(kid, { phase: 'Retiring' });
    }
    if (candidate !== undefined && !this.#records.has(candidate)) {
      this.set(candidate, { phase: 'Publishing' });
    }
  }

  #beginActive(kid: string): void {
    this.set(kid, { phase: 'Active', retireAfter: undefined });
    if (this.#world.recorded.activeKid !== kid) this.set(kid, { activatedAt: undefined });
  }

  /** Replicas may have followed the stray choice: both switches have to be seen anew. */
  #beginStrayed(kid: string): void {
    this.set(kid, { phase: 'Active', activatedAt: undefined, retireAfter: undefined });
    const stray = this.#world.secret.active?.kid;
    if (stray !== undefined && this.#records.has(stray))
      this.set(stray, { retireAfter: undefined });
  }

  record(kid: string): DraftRecord {
    const seconds = kidCreatedAtSeconds(kid);
    const createdAt = seconds === undefined ? undefined : new Date(seconds * 1000);
    return this.#records.get(kid) ?? { kid, phase: 'Publishing', createdAt, isNew: true };
  }

  set(kid: string, change: Partial<Omit<KeyRecord, 'kid'>>): void {
    this.#records.set(kid, { ...this.record(kid), isNew: false, ...change });
  }

  ask(question: Question): true {
    this.#ask = question;
    return true;
  }

  act(action: Action): true {
    this.#action = action;
    return true;
  }

  tell(type: PlannedEvent['type'], reason: string, note: string): void {
    this.#events.push({ type, reason, note });
  }

  wait(reason: string, message: string, how: { wakeMs?: number; isExpected?: boolean } = {}): true {
    this.#waits.push({ reason, message });
    this.#wakeMs = Math.min(this.#wakeMs, how.wakeMs ?? RETRY_MS);
    if (how.isExpected !== true) this.tell('Warning', reason, `waiting: ${message}`);
    return true;
  }

  wakeAt(time: Date): void {
    this.#wakeMs = Math.min(this.#wakeMs, Math.max(0, time.getTime() - this.#world.now.getTime()));
  }

  degrade(reason: string, message: string): void {
    this.#fault = { reason, message };
    this.tell('Warning', reason, message);
  }

  refuse(floorMs: number): void {
    const message = `propagationWait is shorter than ${floorMs / 1000} s, the least that this controller accepts; nothing new is started`;
    this.degrade('PropagationWaitTooShort', message);
  }

  /** Until when a key that is made or extended now is published. */
  fullLife(): Date {
    const { rotationIntervalMs, overlapMs } = this.#world.spec;
    return plusMs(this.#world.now, rotationIntervalMs + overlapMs + SPARE_LIFE_MS);
  }

  activeSince(kid: string): Date {
    return this.#world.recorded.keys.find((key) => key.kid === kid)?.activatedAt ?? this.#world.now;
  }

  isRequestOpen(): boolean {
    const { rotateRequest } = this.#world;
    return rotateRequest !== undefined && rotateRequest !== this.#lastRotateRequest;
  }

  /** A rotation that is under way answers whatever was asked for meanwhile. */
  noteRequest(): void {
    this.#lastRotateRequest = this.#world.rotateRequest ?? this.#lastRotateRequest;
  }

  liveKeys(): number {
    return [...this.#records.values()].filter(({ phase }) => phase !== 'Retired').length;
  }

  finish(active: ActiveState, candidate: string | undefined): Plan {
    const activeKid = active.is === 'none' ? undefined : active.kid;
    if (this.#action?.do === 'bootstrap') this.noteRequest();
    const nextRotationAt = this.#nextRotationAt(active);
    if (
      nextRotationAt !== undefined &&
      candidate === undefined &&
      nextRotationAt > this.#world.now
    ) {
      this.wakeAt(nextRotationAt);
    }
    return {
      ask: this.#ask,
      action: this.#action,
      record: {
        phase: this.#phase(active, candidate),
        activeKid,
        lastRotateRequest: this.#lastRotateRequest,
        nextRotationAt,
        keys: this.#keys(),
        conditions: this.#conditions(active, candidate),
      },
      events: this.#events,
      wakeAfterMs: this.#action === undefined ? this.#wakeMs : 0,
    };
  }

  #nextRotationAt(active: ActiveState): Date | undefined {
    if (active.is !== 'usable') return undefined;
    return plusMs(active.since, this.#world.spec.rotationIntervalMs);
  }

  #phase(active: ActiveState, candidate: string | undefined): KeyPhase {
    if (candidate !== undefined) return this.record(candidate).phase;
    if (this.#action?.do === 'create' || this.#action?.do === 'bootstrap') return 'Publishing';
    return active.is === 'usable' || active.is === 'strayed' ? 'Active' : 'Failed';
  }

  #keys(): KeyRecord[] {
    const records = [...this.#records.values()].sort((a, b) => b.kid.localeCompare(a.kid));
    const retired = records.filter(({ phase }) => phase === 'Retired').slice(0, KEPT_RETIRED);
    return records.filter((record) => record.phase !== 'Retired' || retired.includes(record));
  }

  #conditions(active: ActiveState, candidate: string | undefined): PlannedCondition[] {
    return [this.#ready(active), this.#rotating(active, candidate), this.#degraded()];
  }

  #ready(active: ActiveState): PlannedCondition {
    const type = 'Ready';
    if (active.is !== 'usable') {
      const message = active.is === 'lost' ? 'the active key is lost' : 'no key is active yet';
      return { type, isTrue: false, reason: 'NoActiveKey', message };
    }
    const isPublished =
      isLiveRow(this.#world, active.kid) && rowOf(this.#world, active.kid)?.fits === true;
    return isPublished
      ? { type, isTrue: true, reason: 'KeyActive', message: `${active.kid} signs and is published` }
      : { type, isTrue: false, reason: 'NotPublished', message: `${active.kid} is not published` };
  }

  #rotating(active: ActiveState, candidate: string | undefined): PlannedCondition {
    const type = 'Rotating';
    const message = this.#waits
      .map((wait) => wait.message)
      .join('; ')
      .slice(0, 2_000);
    const isTrue =
      candidate !== undefined || this.#isSwitching(active) || this.#action?.do === 'create';
    const fallback = isTrue ? 'going on' : 'no rotation is under way';
    const reason = this.#waits[0]?.reason ?? (isTrue ? 'Progressing' : 'Idle');
    return { type, isTrue, reason, message: message === '' ? fallback : message };
  }

  /** Chosen, and not yet seen to be followed by everybody. */
  #isSwitching(active: ActiveState): boolean {
    if (active.is !== 'usable' || this.record(active.kid).activatedAt !== undefined) return false;
    return [...this.#records.values()].some(({ phase }) => phase === 'Retiring');
  }

  #degraded(): PlannedCondition {
    const type = 'Degraded';
    return this.#fault === undefined
      ? { type, isTrue: false, reason: 'AsExpected', message: 'nothing is wrong' }
      : { type, isTrue: true, ...this.#fault };
  }
}
