import { randomUUID } from 'node:crypto';
import type { S2SIssuer } from '@arrakis/contracts';
import { generateKeyPair } from './key-pair.ts';
import type { S2STokenSubject } from './s2s-token.domain.ts';
import { S2STokenService } from './s2s-token.service.ts';
import type { SigningKey } from './signing-key-source.ts';
import { askVerifier } from './verifier.client.ts';

export interface CanaryOptions {
  readonly key: SigningKey;
  readonly issuer: S2SIssuer;
  readonly now: () => Date;
  /** Where the verifier answers, when not on the contract's path. */
  readonly path?: string;
}

/** Belongs to nobody: a canary must never be good for an inference. */
const NOBODY = {
  nftId: `1:0x${'0'.repeat(40)}:0`,
  tier: 'free',
  pool: 'cheap',
  communityId: '00000000-0000-0000-0000-000000000000',
} as const;

/**
 * Has a finn verify a token of the new key, and a forged one by the same kid that it must refuse:
 * an endpoint that accepts everything proves nothing.
 *
 * @returns what is wrong, safe to print; `undefined` when the key works there.
 */
export async function runCanary(
  finnUrl: string,
  options: CanaryOptions,
): Promise<string | undefined> {
  const genuine = await askVerifier(finnUrl, token(options.key, options), options.path);
  if (genuine.kind === 'unclear') return genuine.reason;
  if (genuine.kind === 'refused') return 'refuses a token signed with the new key';

  const { privateKey } = generateKeyPair(options.now());
  const forged = await askVerifier(
    finnUrl,
    token({ kid: options.key.kid, privateKey }, options),
    options.path,
  );
  if (forged.kind === 'unclear') return forged.reason;
  return forged.kind === 'accepted' ? 'accepts a forged token: that is no verifier' : undefined;
}

function token(key: SigningKey, options: CanaryOptions): string {
  const subject: S2STokenSubject = { ...NOBODY, reservationId: randomUUID() };
  const service = new S2STokenService({
    keys: { current: () => key },
    issuer: options.issuer,
    wallClockMs: () => options.now().getTime(),
  });
  return service.sign(subject);
}
