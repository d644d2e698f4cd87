import type { ActiveKey, KeyPair, SigningKey } from '@arrakis/signing-keys';

export type KeyStoreFault =
  /** Nothing is there yet: bootstrap. */
  | 'empty'
  /** Others than the owner may read it. */
  | 'permissions'
  /** Half written, or no such format. */
  | 'malformed'
  /** The parts contradict each other: no file for the active kid, another key than its name says. */
  | 'mismatch'
  | 'unreadable';

/** The key store can't be used as it is. The message holds paths and kids, never material. */
export class KeyStoreError extends Error {
  readonly fault: KeyStoreFault;

  constructor(fault: KeyStoreFault, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KeyStoreError';
    this.fault = fault;
  }
}

/** Private keys and the choice among them, as a rotation sees them. */
export interface KeyStore {
  /** Makes the store if need be and removes what an interrupted write left. @throws KeyStoreError */
  prepare(): Promise<void>;
  /** @throws KeyStoreError when the choice is there but can't be read. */
  readActive(): Promise<ActiveKey | undefined>;
  /** Kids of the private keys at hand. */
  listKids(): Promise<string[]>;
  /** @throws KeyStoreError */
  load(kid: string): Promise<SigningKey>;
  /** Durable when it resolves; refuses to replace a key. */
  save(pair: KeyPair): Promise<void>;
  /** Durable when it resolves; takes effect in running processes shortly after. */
  activate(active: ActiveKey): Promise<void>;
  /** No error when there is none. */
  remove(kid: string): Promise<void>;
}
