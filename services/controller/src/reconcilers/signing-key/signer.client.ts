import { KID_PATTERN, S2S_ISSUERS, type S2SIssuer } from '@arrakis/contracts';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { request } from 'undici';

const TIMEOUT_MS = 3_000;
const MAX_BYTES = 4_096;

const Answer = Type.Object({
  issuer: Type.Enum(S2S_ISSUERS),
  activeKid: Type.String({ pattern: KID_PATTERN }),
});

export type SignerAnswer =
  { readonly kid: string } | { readonly kid?: undefined; readonly reason: string };

/** Asks one replica, on its admin port, which key it signs with. */
export async function askSigner(origin: string, issuer: S2SIssuer): Promise<SignerAnswer> {
  try {
    const { statusCode, body } = await request(new URL('/signing-key', origin), {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (statusCode !== 200) {
      await body.dump();
      return { reason: `answered ${statusCode}` };
    }
    const text = await body.text();
    const answer: unknown = text.length > MAX_BYTES ? undefined : JSON.parse(text);
    if (!Value.Check(Answer, answer)) return { reason: 'answered something else than its key' };
    return answer.issuer === issuer
      ? { kid: answer.activeKid }
      : { reason: `signs for ${answer.issuer}` };
  } catch (error) {
    return { reason: describe(error) };
  }
}

function describe(error: unknown): string {
  if (error instanceof SyntaxError) return 'answered something that is not JSON';
  if (error instanceof Error && error.name === 'TimeoutError') {
    return `did not answer within ${TIMEOUT_MS / 1000} s`;
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  return `could not be reached (${code})`;
}
