import type { KeyObject } from 'node:crypto';

/** A private key that may sign now. A KeyObject doesn't show its material when it is printed. */
export interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
}

/** Where the active signing key comes from: files now, a mounted Secret elsewhere. */
export interface SigningKeySource {
  /** The active key; changes under a running process when the operator switches keys. */
  current(): SigningKey;
}
