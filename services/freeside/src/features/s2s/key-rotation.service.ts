import type { PublicJwk, S2SIssuer } from '@arrakis/contracts';
import { withAdvisoryLock } from '@arrakis/postgres';
import {
  type CanaryOptions,
  checkServed,
  deleteKey,
  generateKeyPair,
  listKeysOf,
  publicJwk,
  publishKey,
  runCanary,
  setExpiry,
  type SigningKey,
} from '@arrakis/signing-keys';
import type { Pool } from 'pg';
import {
  KEY_LIFE_SECONDS,
  inventory,
  planBootstrap,
  planRetirement,
  planRotation,
  type KeyInventoryEntry,
  type KeyState,
} from './key-rotation.domain.ts';
import { RotationError, type RotationProgress } from './key-rotation-progress.ts';
import type { KeyStore } from './signing-key-store.ts';

export interface KeyRotationOptions {
  /** Connected as a role that may write `s2s_jwks_public_keys`: `migrator`. */
  readonly pool: Pool;
  readonly keyStore: KeyStore;
  readonly issuer?: S2SIssuer;
  readonly now: () => Date;
  /** Rejects with the signal's reason when that is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly report: (progress: RotationProgress) => void;
}

export interface RotateOptions {
  /** Every endpoint that verifiers read: at least one. */
  readonly jwksUrls: readonly string[];
  /** Every finn, by base URL: at least one. */
  readonly finnUrls: readonly string[];
  readonly waitSeconds: number;
  /** How long the key may take to be served, and the canary to be accepted. */
  readonly patienceMs: number;
  /** The operator gave up. */
  readonly signal: AbortSignal;
}

const RETRY_MS = 1000;

/**
 * The life of signing keys without a cluster. Every operation holds a database lock, so that two
 * of them never interleave, and can be run again after whatever interrupted it.
 */
export class KeyRotationService {
  readonly #options: KeyRotationOptions;
  readonly #issuer: S2SIssuer;

  constructor(options: KeyRotationOptions) {
    this.#options = options;
    this.#issuer = options.issuer ?? 'loa-freeside';
  }

  /** Makes sure that some key is active and published; changes nothing when that is so. */
  bootstrap(): Promise<{ readonly kid: string; readonly changed: boolean }> {
    return this.#locked(async () => {
      const plan = planBootstrap(await this.#state());
      if (plan.action === 'none') {
        await this.#options.keyStore.load(plan.kid);
        return { kid: plan.kid, changed: false };
      }
      const key =
        plan.action === 'create'
          ? await this.#createKey()
          : await this.#options.keyStore.load(plan.kid);
      await this.#publish(key);
      if (plan.action !== 'publish') await this.#activate(key.kid);
      return { kid: key.kid, changed: true };
    });
  }

  async list(): Promise<KeyInventoryEntry[]> {
    return inventory(await this.#state());
  }

  /**
   * Publishes the next key, sees it served, waits, proves it, and only then switches. Whatever
   * fails before the switch leaves the old key active; the next run goes on with the same new key.
   *
   * @throws RotationError that says how far it came and how to go on.
   */
  rotate(options: RotateOptions): Promise<{ readonly oldKid: string; readonly newKid: string }> {
    return this.#locked(async (lockSignal) => {
      const signal = AbortSignal.any([options.signal, lockSignal]);
      const plan = planRotation(await this.#state());
      if (plan.action === 'refuse') throw new RotationError('plan', plan.reason, {});
      const { oldKid } = plan;
      const key = await this.#step('create', { oldKid }, () =>
        plan.action === 'create' ? this.#createKey() : this.#resumeKey(plan.newKid),
      );
      const kids = { oldKid, newKid: key.kid };
      await this.#step('publish', kids, () => this.#publish(key));
      await this.#step('served', kids, () => this.#awaitServed(key, options, signal));
      await this.#step('wait', kids, () => this.#wait(options.waitSeconds, signal));
      // Once more: an endpoint that lost the key meanwhile is one whose verifiers would refuse it.
      await this.#step('served', kids, () => this.#awaitServed(key, options, signal));
      await this.#step('canary', kids, () => this.#canary(key, options, signal));
      await this.#step('switch', kids, () => this.#switch(oldKid, key.kid, signal));
      await this.#step('limit', kids, () => this.#limitSuperseded());
      return kids;
    });
  }

  /** Ends the overlap of replaced keys when it is due and removes what has expired. */
  retire(): Promise<readonly string[]> {
    return this.#locked(async () => {
      await this.#limitSuperseded();
      const { remove } = planRetirement(await this.#state());
      for (const kid of remove) await this.#remove(kid);
      return remove;
    });
  }

  /**
   * Takes one key out of use at once, its overlap notwithstanding: for a key that leaked, or a
   * pending one that nobody wants. Verifiers forget it within five minutes.
   *
   * @throws RotationError for the active key, and for a kid that doesn't exist.
   */
  retireNow(kid: string): Promise<void> {
    return this.#locked(async () => {
      const key = inventory(await this.#state()).find((entry) => entry.kid === kid);
      if (key === undefined) throw new RotationError('plan', `there is no key ${kid}`, {});
      if (key.status === 'active' || key.status === 'active_unpublished') {
        const reason = `${kid} is the active key: rotate first, then retire it`;
        throw new RotationError('plan', reason, {});
      }
      await this.#remove(kid);
    });
  }

  async #locked<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const outcome = await withAdvisoryLock(
      this.#options.pool,
      `s2s-signing-keys:${this.#issuer}`,
      async (signal) => {
        await this.#options.keyStore.prepare();
        return work(signal);
      },
    );
    if (outcome.ran) return outcome.value;
    const reason = 'another command is changing the signing keys right now; wait for it to end';
    throw new RotationError('plan', reason, {});
  }

  async #state(): Promise<KeyState> {
    const { keyStore, pool, now } = this.#options;
    const active = await keyStore.readActive();
    return {
      now: now(),
      active: active === undefined ? undefined : { kid: active.activeKid, since: active.updatedAt },
      storedKids: await keyStore.listKids(),
      published: await listKeysOf(pool, this.#issuer),
    };
  }

  async #createKey(): Promise<SigningKey> {
    const pair = generateKeyPair(this.#options.now());
    await this.#options.keyStore.save(pair);
    this.#options.report({ step: 'created', kid: pair.kid });
    return { kid: pair.kid, privateKey: pair.privateKey };
  }

  async #resumeKey(kid: string): Promise<SigningKey> {
    const key = await this.#options.keyStore.load(kid);
    this.#options.report({ step: 'resumed', kid });
    return key;
  }

  async #publish(key: SigningKey): Promise<void> {
    const { x, y } = publicJwk(key.privateKey, key.kid);
    const expiresAt = this.#secondsFromNow(KEY_LIFE_SECONDS);
    const row = { kid: key.kid, issuer: this.#issuer, x, y, expiresAt };
    if (!(await publishKey(this.#options.pool, row))) {
      throw new Error(`the database has another public key under ${key.kid}`);
    }
    this.#options.report({ step: 'published', kid: key.kid });
  }

  async #awaitServed(key: SigningKey, options: RotateOptions, signal: AbortSignal): Promise<void> {
    const jwk: PublicJwk = publicJwk(key.privateKey, key.kid);
    for (const url of options.jwksUrls) {
      await this.#insist(url, options, signal, async () => {
        const check = await checkServed(url, jwk);
        return check.ok ? undefined : check.reason;
      });
      this.#options.report({ step: 'served', kid: key.kid, url });
    }
  }

  async #wait(waitSeconds: number, signal: AbortSignal): Promise<void> {
    for (let left = waitSeconds; left > 0; left -= 1) {
      this.#options.report({ step: 'waiting', secondsLeft: left, secondsTotal: waitSeconds });
      await this.#options.sleep(1000, signal);
    }
  }

  async #canary(key: SigningKey, options: RotateOptions, signal: AbortSignal): Promise<void> {
    const canary: CanaryOptions = { key, issuer: this.#issuer, now: this.#options.now };
    for (const url of options.finnUrls) {
      await this.#insist(url, options, signal, () => runCanary(url, canary));
      this.#options.report({ step: 'canary_accepted', kid: key.kid, url });
    }
  }

  /** Tries until it says no fault, at most for the operator's patience. */
  async #insist(
    url: string,
    options: RotateOptions,
    signal: AbortSignal,
    attempt: () => Promise<string | undefined>,
  ): Promise<void> {
    const deadline = this.#options.now().getTime() + options.patienceMs;
    for (;;) {
      signal.throwIfAborted();
      const fault = await attempt();
      if (fault === undefined) return;
      if (this.#options.now().getTime() >= deadline) throw new Error(`${url} ${fault}`);
      await this.#options.sleep(RETRY_MS, signal);
    }
  }

  async #switch(oldKid: string, newKid: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const active = await this.#options.keyStore.readActive();
    if (active?.activeKid !== oldKid) {
      throw new Error('somebody else changed the active key meanwhile');
    }
    await this.#activate(newKid);
  }

  async #activate(kid: string): Promise<void> {
    await this.#options.keyStore.activate({ activeKid: kid, updatedAt: this.#options.now() });
    this.#options.report({ step: 'activated', kid });
  }

  async #limitSuperseded(): Promise<void> {
    const { limit } = planRetirement(await this.#state());
    for (const { kid, expiresAt } of limit) {
      await setExpiry(this.#options.pool, kid, expiresAt);
      this.#options.report({ step: 'limited', kid, expiresAt });
    }
  }

  /**
   * Verifies nothing, then can't sign, then is forgotten: interrupted anywhere, what is left is
   * harmless, and a rotation never takes it for a key to go on with.
   */
  async #remove(kid: string): Promise<void> {
    await setExpiry(this.#options.pool, kid, this.#options.now());
    await this.#options.keyStore.remove(kid);
    await deleteKey(this.#options.pool, kid);
    this.#options.report({ step: 'removed', kid });
  }

  async #step<T>(
    step: RotationError['step'],
    kids: { readonly oldKid?: string; readonly newKid?: string },
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown reason';
      throw new RotationError(step, reason, kids, { cause: error });
    }
  }

  #secondsFromNow(seconds: number): Date {
    return new Date(this.#options.now().getTime() + seconds * 1000);
  }
}
