import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { checkpointKey, signingInput, type CheckpointKey, type Head } from '@arrakis/audit';
import { signEs256 } from '@arrakis/service-kit';
import { parsePrivateKey } from '@arrakis/signing-keys';

/** The key for checkpoints can't be used. Names the file, never what is in it. */
export class AuditKeyError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AuditKeyError';
  }
}

/** Vouches for a trail up to a checkpoint. The key is its own: service tokens use other ones. */
export class CheckpointSigner {
  readonly key: CheckpointKey;
  readonly #privateKey: KeyObject;

  constructor(privateKey: KeyObject) {
    const key = checkpointKey(createPublicKey(privateKey));
    if (key === undefined) throw new AuditKeyError('the key is not on P-256');
    this.key = key;
    this.#privateKey = privateKey;
  }

  /** @throws AuditKeyError when the file isn't the PEM of a P-256 private key. */
  static async fromFile(file: string): Promise<CheckpointSigner> {
    const pem = await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new AuditKeyError(`${file} can't be read`, { cause });
    });
    const privateKey = parsePrivateKey(pem);
    if (privateKey === undefined) {
      throw new AuditKeyError(`${file} is not the PEM of a P-256 private key`);
    }
    return new CheckpointSigner(privateKey);
  }

  /** ES256 in its 64 bytes. */
  sign(head: Head): Buffer {
    return signEs256(signingInput(head.sequence, head.hash), this.#privateKey);
  }
}
