import { JwkSet, type PublicJwk } from '@arrakis/contracts';
import { Value } from 'typebox/value';
import { request } from 'undici';

const TIMEOUT_MS = 5000;
const MAX_BYTES = 256 * 1024;

/** Why a key set endpoint doesn't count as serving a key; safe to print. */
export type ServedCheck = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Asks a key set endpoint, as a verifier would, whether it serves exactly this key. */
export async function checkServed(url: string, jwk: PublicJwk): Promise<ServedCheck> {
  let set: unknown;
  try {
    const response = await request(url, {
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await readBounded(response.body);
    if (response.statusCode !== 200) return no(`answered ${response.statusCode}`);
    set = JSON.parse(text);
  } catch (error) {
    return no(describe(error));
  }
  if (!Value.Check(JwkSet, set)) return no('answered something that is not a key set');
  const served = set.keys.find((key) => key.kid === jwk.kid);
  if (served === undefined) return no('does not serve the key yet');
  return served.x === jwk.x && served.y === jwk.y
    ? { ok: true }
    : no('serves another key by that id');
}

async function readBounded(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error('the answer is far too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function no(reason: string): ServedCheck {
  return { ok: false, reason };
}

function describe(error: unknown): string {
  if (error instanceof SyntaxError) return 'answered something that is not JSON';
  if (!(error instanceof Error)) return 'could not be asked';
  if (error.name === 'TimeoutError') return `did not answer within ${TIMEOUT_MS / 1000} s`;
  const code = 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : '';
  return `could not be reached${code}`;
}
