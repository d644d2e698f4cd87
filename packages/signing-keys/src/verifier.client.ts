import { S2S_VERIFY_PATH } from '@arrakis/contracts';
import { request } from 'undici';

const TIMEOUT_MS = 5000;

export type VerifierAnswer =
  | { readonly kind: 'accepted' }
  /** It looked at the token and said no. */
  | { readonly kind: 'refused' }
  /** It could not be asked, or answered neither; safe to print. */
  | { readonly kind: 'unclear'; readonly reason: string };

/** Asks a finn whether it would accept a token. Nothing runs. */
export async function askVerifier(
  finnUrl: string,
  token: string,
  path: string = S2S_VERIFY_PATH,
): Promise<VerifierAnswer> {
  try {
    const { statusCode, body } = await request(new URL(path, finnUrl), {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await body.dump();
    if (statusCode === 200 || statusCode === 204) return { kind: 'accepted' };
    if (statusCode === 401) return { kind: 'refused' };
    return { kind: 'unclear', reason: `answered ${statusCode}` };
  } catch (error) {
    return { kind: 'unclear', reason: describe(error) };
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'could not be asked';
  if (error.name === 'TimeoutError') return `did not answer within ${TIMEOUT_MS / 1000} s`;
  const code = 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : '';
  return `could not be reached${code}`;
}
