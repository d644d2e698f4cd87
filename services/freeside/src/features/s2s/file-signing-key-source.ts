import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ACTIVE_FILE, type SigningKey, type SigningKeySource } from '@arrakis/signing-keys';
import { readActiveFile, readPrivateKey } from './key-files.ts';
import type { S2SEvents } from './events.ts';

export interface FileSigningKeySourceOptions {
  /** Directory of the key store. */
  readonly dir: string;
  readonly events: Pick<S2SEvents, 'keyActivated' | 'keyStoreFaulty'>;
  readonly pollMs?: number;
  readonly now?: () => Date;
}

const POLL_MS = 1000;

/**
 * The active key of a key store, followed while the process runs: within about a second of a
 * switch every replica signs with the new key, without a restart. A state that can't be used (half
 * written, contradictory, gone) changes nothing: the last good key goes on signing, and the fault
 * is reported until it is mended.
 */
export class FileSigningKeySource implements SigningKeySource {
  readonly #options: FileSigningKeySourceOptions;
  #key: SigningKey;
  #since: Date;
  /** What `active.json` looked like when the key was loaded; `undefined` makes the poll try again. */
  #fingerprint: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;

  /** @throws KeyStoreError when there is no usable active key to start with. */
  static async open(options: FileSigningKeySourceOptions): Promise<FileSigningKeySource> {
    const fingerprint = await readFingerprint(options.dir);
    const key = await loadActive(options.dir);
    options.events.keyActivated(key.kid);
    return new FileSigningKeySource(options, key, fingerprint);
  }

  private constructor(
    options: FileSigningKeySourceOptions,
    key: SigningKey,
    fingerprint: string | undefined,
  ) {
    this.#options = options;
    this.#key = key;
    this.#since = this.#now();
    this.#fingerprint = fingerprint;
    this.#schedule();
  }

  current(): SigningKey {
    return this.#key;
  }

  /** When this process began to sign with the active key. */
  since(): Date {
    return this.#since;
  }

  /** Looks at the store now; callers that come meanwhile share one look. Never rejects. */
  poll(): Promise<void> {
    this.#polling ??= this.#look().finally(() => {
      this.#polling = undefined;
    });
    return this.#polling;
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#polling;
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      void this.poll().then(() => {
        if (this.#timer !== undefined) this.#schedule();
      });
    }, this.#options.pollMs ?? POLL_MS);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    // Read before the key: a switch in between shows as another fingerprint at the next look.
    const fingerprint = await readFingerprint(this.#options.dir);
    if (fingerprint !== undefined && fingerprint === this.#fingerprint) return;
    try {
      const key = await loadActive(this.#options.dir);
      if (key.kid !== this.#key.kid) {
        this.#key = key;
        this.#since = this.#now();
      }
      this.#fingerprint = fingerprint;
      this.#options.events.keyActivated(this.#key.kid);
    } catch (error) {
      this.#fingerprint = undefined;
      this.#options.events.keyStoreFaulty(error, this.#key.kid);
    }
  }
}

async function loadActive(dir: string): Promise<SigningKey> {
  const { activeKid } = await readActiveFile(dir);
  return readPrivateKey(dir, activeKid);
}

/** Changes with every atomic replacement of `active.json`, also of a symlinked one. */
async function readFingerprint(dir: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(join(dir, ACTIVE_FILE), { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}`;
  } catch {
    return undefined;
  }
}
