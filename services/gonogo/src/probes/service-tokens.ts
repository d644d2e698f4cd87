import { randomUUID, type KeyObject } from 'node:crypto';
import {
  S2S_ALGORITHM,
  S2S_AUDIENCE,
  S2S_TOKEN_LIFE_SECONDS,
  type S2SClaims,
} from '@arrakis/contracts';
import { signEs256 } from '@arrakis/service-kit';

/** How a token departs from a good one. */
export interface TokenChanges {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
}

/** Nobody's: a token that tests must never be good for an inference. */
const NOBODY = {
  nft_id: `1:0x${'0'.repeat(40)}:0`,
  tier: 'free',
  community_id: '00000000-0000-0000-0000-000000000000',
} as const;

/** A service token as freeside signs them, with the changes that make it a bad one. */
export function serviceToken(
  key: { readonly kid: string; readonly privateKey: KeyObject },
  now: Date,
  changes: TokenChanges = {},
): string {
  const issuedAt = Math.floor(now.getTime() / 1000);
  const claims: S2SClaims = {
    iss: 'loa-freeside',
    aud: S2S_AUDIENCE,
    iat: issuedAt,
    exp: issuedAt + S2S_TOKEN_LIFE_SECONDS,
    jti: randomUUID(),
    budget_reservation_id: randomUUID(),
    ...NOBODY,
  };
  const header = { alg: S2S_ALGORITHM, kid: key.kid, typ: 'JWT', ...changes.header };
  const input = `${encode(header)}.${encode({ ...claims, ...changes.claims })}`;
  return `${input}.${signEs256(Buffer.from(input, 'ascii'), key.privateKey).toString('base64url')}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
}
