import { compactVerify, type CryptoKey } from 'jose';
import { S2S_ALGORITHM } from '@arrakis/contracts';
import type { CompactToken } from './compact-token.domain.ts';

/**
 * The token's payload if `key` signed it. The key decides the algorithm, never the token: it was
 * imported for ES256 and serves nothing else.
 */
export async function verifiedPayload(
  token: CompactToken,
  key: CryptoKey,
): Promise<Uint8Array | undefined> {
  try {
    const { payload } = await compactVerify(token.compact, key, { algorithms: [S2S_ALGORITHM] });
    return payload;
  } catch {
    return undefined;
  }
}
