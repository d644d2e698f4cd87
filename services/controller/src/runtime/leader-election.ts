import type { ApiClient } from '../kubernetes/api.client.ts';
import { isConflict, isNotFound } from '../kubernetes/api-error.ts';
import { LEASES, type Lease } from '../kubernetes/objects.ts';
import { jittered } from './backoff.domain.ts';
import { mayTake, viewLease, type LeaseView } from './lease.domain.ts';

/** This process must not write: another may be leading. */
export class NotLeadingError extends Error {
  constructor() {
    super('this process does not lead');
    this.name = 'NotLeadingError';
  }
}

export interface LeaderElectionOptions {
  /** Its own writes are not guarded: they are what the guard rests on. */
  readonly api: ApiClient;
  readonly namespace: string;
  readonly leaseName: string;
  /** Unique for ever: pod name and something random. */
  readonly identity: string;
  readonly onStarted: () => void;
  readonly onStopped: (why: 'lost' | 'released') => void;
  readonly onError: (error: unknown) => void;
  readonly durationMs?: number;
  /** How long after the last renewal we still trust ourselves. */
  readonly trustMs?: number;
  readonly retryMs?: number;
  readonly monotonicMs?: () => number;
  readonly now?: () => Date;
  readonly random?: () => number;
}

const DURATION_MS = 12_000;
const TRUST_MS = 8_000;
const RETRY_MS = 2_000;

/**
 * One leader by a Lease. Others wait until they have seen it unchanged for its whole duration;
 * the leader trusts itself only for `trustMs` counted from *before* the last successful renewal was
 * sent. The difference is longer than a write may take, so that none of ours lands in the next
 * leader's time.
 */
export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #nowMs: () => number;
  readonly #random: () => number;
  #view: LeaseView | undefined;
  #trustedUntilMs = Number.NEGATIVE_INFINITY;
  #isLeading = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#nowMs = options.monotonicMs ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
  }

  start(): void {
    this.#next(0);
  }

  /** True while this process may write. */
  isLeading(): boolean {
    return this.#isLeading && this.#nowMs() < this.#trustedUntilMs;
  }

  /** @throws NotLeadingError */
  readonly guard = (): void => {
    if (!this.isLeading()) throw new NotLeadingError();
  };

  /** Who leads, as last seen. */
  holder(): string | undefined {
    return this.#view?.holder;
  }

  /** Hands the Lease back, so that another leads at once. Work must have ended before. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#round;
    if (this.isLeading()) await this.#release().catch(this.#options.onError);
    this.#stop('released');
  }

  /** One attempt to take or keep the Lease; the loop calls it, and tests do. */
  async tick(): Promise<void> {
    try {
      const sentAtMs = this.#nowMs();
      if (await this.#acquire()) this.#lead(sentAtMs);
      else this.#stop('lost');
    } catch (error) {
      // Somebody else wrote first: not a failure, the next look tells who.
      if (!isConflict(error)) this.#options.onError(error);
    }
    if (!this.isLeading()) this.#stop('lost');
  }

  #next(ms: number): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#round = this.tick().finally(() => {
        this.#next(jittered(this.#options.retryMs ?? RETRY_MS, this.#random()));
      });
    }, ms);
  }

  async #acquire(): Promise<boolean> {
    const { api, namespace, leaseName, identity } = this.#options;
    const target = { namespace, name: leaseName };
    let lease: Lease;
    try {
      lease = await api.get<Lease>(LEASES, target);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#remember(await api.create(LEASES, this.#claim(undefined)));
      return true;
    }
    this.#remember(lease);
    if (this.#view === undefined || !mayTake(this.#view, identity, this.#nowMs())) return false;
    this.#remember(await api.replace(LEASES, this.#claim(lease)));
    return true;
  }

  #remember(lease: Lease): void {
    this.#view = viewLease(lease, this.#view, this.#nowMs());
  }

  #claim(old: Lease | undefined): Lease {
    const { namespace, leaseName, identity, durationMs = DURATION_MS, now } = this.#options;
    const renewTime = (now?.() ?? new Date()).toISOString().replace('Z', '000Z');
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: old?.metadata ?? { name: leaseName, namespace },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(durationMs / 1000),
        renewTime,
        ...termOf(old?.spec, identity, renewTime),
      },
    };
  }

  async #release(): Promise<void> {
    const { api, namespace, leaseName, identity } = this.#options;
    const lease = await api.get<Lease>(LEASES, { namespace, name: leaseName });
    if (lease.spec?.holderIdentity !== identity) return;
    await api.replace<Lease>(LEASES, {
      ...lease,
      spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 },
    });
  }

  #lead(sentAtMs: number): void {
    this.#trustedUntilMs = sentAtMs + (this.#options.trustMs ?? TRUST_MS);
    clearTimeout(this.#expiry);
    // Also when a renewal hangs: nobody may think that we lead once we don't trust ourselves.
    this.#expiry = setTimeout(
      () => {
        if (!this.isLeading()) this.#stop('lost');
      },
      Math.max(0, this.#trustedUntilMs - this.#nowMs()) + 1,
    );
    this.#expiry.unref();
    if (this.#isLeading) return;
    this.#isLeading = true;
    this.#options.onStarted();
  }

  #stop(why: 'lost' | 'released'): void {
    this.#trustedUntilMs = Number.NEGATIVE_INFINITY;
    clearTimeout(this.#expiry);
    if (!this.#isLeading) return;
    this.#isLeading = false;
    this.#options.onStopped(why);
  }
}

/** A renewal goes on with the term; a claim begins one. */
function termOf(old: Lease['spec'], identity: string, time: string) {
  const { holderIdentity, acquireTime = time, leaseTransitions = 0 } = old ?? {};
  if (holderIdentity === identity) return { acquireTime, leaseTransitions };
  return { acquireTime: time, leaseTransitions: leaseTransitions + (old === undefined ? 0 : 1) };
}
