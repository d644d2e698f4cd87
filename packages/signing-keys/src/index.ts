export { checkServed, type ServedCheck } from './jwks.client.ts';
export { runCanary, type CanaryOptions } from './key-canary.ts';
export {
  exportPrivateKey,
  generateKeyPair,
  parsePrivateKey,
  publicJwk,
  thumbprintHex,
  type KeyPair,
} from './key-pair.ts';
export {
  ACTIVE_FILE,
  formatActiveFile,
  kidOfFile,
  parseActiveFile,
  pemFileName,
  type ActiveKey,
} from './key-store-layout.ts';
export { isKid, kidCreatedAtSeconds, kidFitsThumbprint } from './kid.domain.ts';
export type { S2STokenSubject } from './s2s-token.domain.ts';
export { S2STokenService, type S2STokenServiceOptions } from './s2s-token.service.ts';
export type { SigningKey, SigningKeySource } from './signing-key-source.ts';
export {
  deleteKey,
  findCurrentKeys,
  listKeysOf,
  publishKey,
  setExpiry,
  type PublishedKey,
} from './store.ts';
