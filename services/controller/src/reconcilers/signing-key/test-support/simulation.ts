import { plan } from '../plan.domain.ts';
import type { Plan } from '../draft.domain.ts';
import type { Action, KeyRecord, Question, Seen, World } from '../world.domain.ts';

export const SECOND = 1_000;
export const HOUR = 3_600_000;
export const SPEC = {
  rotationIntervalMs: 90 * 24 * HOUR,
  overlapMs: 24 * HOUR,
  propagationWaitMs: 390 * SECOND,
};

class Crash extends Error {}

interface Row {
  createdAt: Date;
  expiresAt: Date;
  fits: boolean;
}

/** One ready api replica: what it signs with, what it serves. */
interface Replica {
  signs: string | undefined;
  serves: Set<string>;
  isReachable: boolean;
}

/**
 * The world of the planner, without any I/O: a Secret, a table, a status, replicas that follow late,
 * and the truth about what happened, which the planner never gets to see.
 */
export class Simulation {
  nowMs = Date.parse('2026-01-01T00:00:00Z');
  readonly pems = new Map<string, boolean>();
  active: { kid: string; since: Date } | undefined;
  readonly rows = new Map<string, Row>();
  recorded: World['recorded'] = { activeKid: undefined, lastRotateRequest: undefined, keys: [] };
  rotateRequest: string | undefined;
  replicas: Replica[] = [];
  verifiersAccept = true;
  minPropagationWaitMs = 390 * SECOND;
  lastPlan: Plan | undefined;
  /** Faults that the rules of the planner rule out; empty when it keeps them. */
  readonly violations: string[] = [];
  readonly told: string[] = [];
  /**
   * Since when every ready replica has served the key, without a gap that anybody could see: one
   * between two looks leaves no trace, and one that was seen by who then died neither.
   */
  readonly #servedSinceMs = new Map<string, number>();
  readonly #denied = new Set<string>();
  readonly #canaryAtMs = new Map<string, number>();
  readonly #everActive = new Set<string>();
  /** Last moment at which a ready replica signed with the key. */
  readonly #lastSignedMs = new Map<string, number>();
  #serial = 0;
  #writesLeft = Number.POSITIVE_INFINITY;

  get now(): Date {
    return new Date(this.nowMs);
  }

  advance(ms: number): void {
    this.#observeTruth();
    this.nowMs += ms;
    this.#observeTruth();
  }

  startReplica(): void {
    const named = this.active?.kid;
    if (named === undefined || this.pems.get(named) !== true) return;
    this.replicas.push({ signs: named, serves: this.#liveKids(), isReachable: true });
    this.#observeTruth();
  }

  /** The mounted Secret reached the replica. */
  follow(index: number): void {
    const replica = this.replicas[index % Math.max(1, this.replicas.length)];
    const named = this.active?.kid;
    if (replica !== undefined && named !== undefined && this.pems.get(named) === true)
      replica.signs = named;
    this.#observeTruth();
  }

  refresh(index: number): void {
    const replica = this.replicas[index % Math.max(1, this.replicas.length)];
    if (replica !== undefined) replica.serves = this.#liveKids();
    this.#observeTruth();
  }

  settle(): void {
    this.replicas.forEach((replica, index) => {
      replica.isReachable = true;
      this.follow(index);
      this.refresh(index);
    });
    this.verifiersAccept = true;
  }

  /** One look. @param writes after so many of them the controller dies. */
  reconcile(writes = Number.POSITIVE_INFINITY): number {
    this.#writesLeft = writes;
    try {
      return this.#look();
    } catch (error) {
      if (error instanceof Crash) return 0;
      throw error;
    }
  }

  #look(): number {
    this.#denied.clear();
    let seen: Seen = {};
    let decided = plan(this.world(seen));
    for (let asked = 0; decided.ask !== undefined; asked += 1) {
      if (asked > 4) throw new Error('asks without end');
      seen = { ...seen, ...this.#answer(decided.ask) };
      decided = plan(this.world(seen));
    }
    this.lastPlan = decided;
    if (decided.action !== undefined) this.#apply(decided.action);
    this.#write(() => {
      const { activeKid, lastRotateRequest, keys } = decided.record;
      this.recorded = { activeKid, lastRotateRequest, keys: keys.map(asStatus) };
      for (const kid of this.#denied) this.#servedSinceMs.delete(kid);
    });
    this.told.push(...decided.events.map((event) => event.reason));
    const active = decided.record.keys.filter(({ phase }) => phase === 'Active');
    if (active.length > 1) this.violations.push('two keys are recorded as active');
    return decided.wakeAfterMs;
  }

  world(seen: Seen): World {
    return {
      now: this.now,
      spec: SPEC,
      minPropagationWaitMs: this.minPropagationWaitMs,
      rotateRequest: this.rotateRequest,
      recorded: this.recorded,
      secret: {
        pems: [...this.pems].map(([kid, isGood]) => ({ kid, isGood })),
        active: this.active,
      },
      rows: [...this.rows].map(([kid, row]) => ({ kid, ...row })),
      seen,
    };
  }

  #answer(question: Question): Seen {
    const away = this.replicas.find((replica) => !replica.isReachable);
    if (question.what === 'signers') {
      const reachable = this.replicas.filter((replica) => replica.isReachable);
      const kids = reachable.map(({ signs }) => signs ?? '');
      const unclear = away === undefined ? undefined : 'a replica is away';
      return { signers: { replicas: this.replicas.length, kids, unclear } };
    }
    const no = (reason: string, isDenial: boolean) => ({ ok: false, reason, isDenial }) as const;
    const { kid } = question;
    if (question.what === 'canary') {
      if (!this.verifiersAccept) return { canary: no('refuses', true) };
      this.#canaryAtMs.set(kid, this.nowMs);
      return { canary: { ok: true } };
    }
    if (this.replicas.length === 0) return { served: no('no replica', false) };
    const lacks = this.replicas.some((replica) => replica.isReachable && !replica.serves.has(kid));
    if (lacks) {
      this.#denied.add(kid);
      return { served: no('does not serve it', true) };
    }
    return { served: away === undefined ? { ok: true } : no('a replica is away', false) };
  }

  #apply(action: Action): void {
    switch (action.do) {
      case 'bootstrap': {
        const kid = this.#newKid();
        this.#publish(kid, new Date(this.nowMs + HOUR));
        this.#write(() => {
          this.pems.set(kid, true);
          this.#activate(kid, this.now);
        });
        return;
      }
      case 'create': {
        const kid = this.#newKid();
        this.#write(() => void this.pems.set(kid, true));
        return;
      }
      case 'publish':
        this.#publish(action.kid, action.expiresAt);
        return;
      case 'republish':
        this.#write(() => void this.rows.delete(action.kid));
        this.#publish(action.kid, action.expiresAt);
        return;
      case 'extend':
        this.#write(() =>
          this.rows.set(action.kid, { ...this.#row(action.kid), expiresAt: action.expiresAt }),
        );
        return;
      case 'activate':
        this.#write(() => this.#activate(action.kid, action.since));
        return;
      case 'retire':
        this.#retire(action.kid);
        return;
      case 'forget-row':
        this.#write(() => void this.rows.delete(action.kid));
    }
  }

  #write(change: () => unknown): void {
    if (this.#writesLeft <= 0) throw new Crash();
    this.#writesLeft -= 1;
    change();
    this.#observeTruth();
  }

  #publish(kid: string, expiresAt: Date): void {
    this.#write(() => {
      if (!this.rows.has(kid)) this.rows.set(kid, { createdAt: this.now, expiresAt, fits: true });
    });
  }

  #row(kid: string): Row {
    const row = this.rows.get(kid);
    if (row === undefined) throw new Error(`no row ${kid}`);
    return row;
  }

  #activate(kid: string, since: Date): void {
    const isKnown = this.#everActive.has(kid) || this.replicas.length === 0;
    if (!isKnown) this.#checkUse(kid);
    if (!this.rows.has(kid)) this.violations.push(`${kid} signs and is not published`);
    if (this.pems.get(kid) !== true) this.violations.push(`${kid} signs and its key is not there`);
    this.active = { kid, since };
    this.#everActive.add(kid);
  }

  /** A new key: seen served without a gap for the whole wait, and a canary after that. */
  #checkUse(kid: string): void {
    const since = this.#servedSinceMs.get(kid);
    const wait = Math.max(SPEC.propagationWaitMs, this.minPropagationWaitMs);
    if (since === undefined) this.violations.push(`${kid} signs and is not served everywhere`);
    else if (this.nowMs - since < wait)
      this.violations.push(`${kid} signs before it has propagated`);
    const canary = this.#canaryAtMs.get(kid);
    if (canary === undefined) this.violations.push(`${kid} signs without a canary`);
    else if (since !== undefined && canary < since + wait) {
      this.violations.push(`${kid} signs on a canary from before it had propagated`);
    }
  }

  #retire(kid: string): void {
    if (this.replicas.some(({ signs }) => signs === kid))
      this.violations.push(`${kid} is retired and signs`);
    if (this.active?.kid === kid) this.violations.push(`${kid} is retired and is the active one`);
    const last = this.#lastSignedMs.get(kid);
    if (last !== undefined && this.nowMs - last < SPEC.overlapMs) {
      this.violations.push(`${kid} is retired before its overlap is over`);
    }
    this.#write(() => {
      const row = this.rows.get(kid);
      if (row !== undefined) row.expiresAt = this.now;
    });
    this.#write(() => void this.pems.delete(kid));
    this.#write(() => void this.rows.delete(kid));
  }

  #liveKids(): Set<string> {
    return new Set(
      [...this.rows].filter(([, row]) => row.expiresAt.getTime() > this.nowMs).map(([kid]) => kid),
    );
  }

  #observeTruth(): void {
    for (const { signs } of this.replicas)
      if (signs !== undefined) this.#lastSignedMs.set(signs, this.nowMs);
    for (const kid of this.pems.keys()) {
      const isServed =
        this.replicas.length > 0 && this.replicas.every(({ serves }) => serves.has(kid));
      if (!this.#liveKids().has(kid)) this.#servedSinceMs.delete(kid);
      else if (isServed && !this.#servedSinceMs.has(kid)) this.#servedSinceMs.set(kid, this.nowMs);
    }
  }

  #newKid(): string {
    this.#serial += 1;
    const second = this.now
      .toISOString()
      .replace(/\.\d{3}Z$/, 'Z')
      .replace(/[-:]/g, '');
    return `${second}-${this.#serial.toString(16).padStart(16, '0')}`;
  }
}

/** As it comes back from the API server: whole milliseconds, nothing more. */
function asStatus(record: KeyRecord): KeyRecord {
  const { kid, phase } = record;
  const { createdAt, publishedAt, servedAt, canaryPassedAt, activatedAt, retireAfter, retiredAt } =
    record;
  return {
    kid,
    phase,
    createdAt,
    publishedAt,
    servedAt,
    canaryPassedAt,
    activatedAt,
    retireAfter,
    retiredAt,
  };
}
