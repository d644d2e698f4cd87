import { generateKeyPairSync } from 'node:crypto';
import { INFERENCE_PATH, S2S_VERIFY_PATH } from '@arrakis/contracts';
import type { SigningKey } from '@arrakis/signing-keys';
import { NoAnswerError, ask } from './http.client.ts';
import { serviceToken } from './service-tokens.ts';

/** One try to get in, and what has to come of it. */
export interface DoorProbe {
  readonly of: string;
  readonly path: string;
  readonly token: string | undefined;
  readonly expected: 200 | 401;
}

export interface DoorAnswer {
  readonly finn: string;
  readonly of: string;
  readonly expected: number;
  /** `null` when there was no answer. */
  readonly status: number | null;
}

const TEN_MINUTES_MS = 600_000;

/**
 * What finn must refuse whoever asks. The forged token names a key that is served, so that the
 * signature alone gives it away.
 *
 * @param kid of a key that the key set serves
 */
export function strangersProbes(kid: string, now: Date): readonly DoorProbe[] {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const verify = { path: S2S_VERIFY_PATH, expected: 401 } as const;
  return [
    { ...verify, of: 'no token', token: undefined },
    { of: 'an inference without a token', path: INFERENCE_PATH, token: undefined, expected: 401 },
    { ...verify, of: 'a token by a stranger', token: serviceToken({ kid, privateKey }, now) },
    { ...verify, of: 'a token without a signature', token: unsigned(kid, privateKey, now) },
  ];
}

/** What only the holder of the real key can try: the good token, and good ones with one fault. */
export function holdersProbes(key: SigningKey, now: Date): readonly DoorProbe[] {
  const refused = { path: S2S_VERIFY_PATH, expected: 401 } as const;
  const past = new Date(now.getTime() - TEN_MINUTES_MS);
  const wrongAudience = serviceToken(key, now, { claims: { aud: 'somebody-else' } });
  return [
    { of: 'a good token', path: S2S_VERIFY_PATH, token: serviceToken(key, now), expected: 200 },
    { ...refused, of: 'an expired token', token: serviceToken(key, past) },
    { ...refused, of: 'a token for somebody else', token: wrongAudience },
  ];
}

function unsigned(kid: string, privateKey: SigningKey['privateKey'], now: Date): string {
  const token = serviceToken({ kid, privateKey }, now, { header: { alg: 'none' } });
  return token.slice(0, token.lastIndexOf('.') + 1);
}

export async function tryDoor(
  finn: string,
  { path, token, of, expected }: DoorProbe,
  signal: AbortSignal,
): Promise<DoorAnswer> {
  const headers: Record<string, string> = {};
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  const body = path === INFERENCE_PATH ? { prompt: 'x', stream: false } : undefined;
  try {
    const { status } = await ask(finn + path, {
      method: 'POST',
      headers,
      ...(body === undefined ? {} : { body }),
      signal,
    });
    return { finn, of, expected, status };
  } catch (error) {
    if (error instanceof NoAnswerError) return { finn, of, expected, status: null };
    throw error;
  }
}

/** Why it counts against finn, or why nothing was learned; neither when it is as it must be. */
export function judge({ finn, of, expected, status }: DoorAnswer): {
  readonly wrong?: string;
  readonly unclear?: string;
} {
  if (status === expected) return {};
  if (status === null) return { unclear: `${finn} could not be asked (${of})` };
  const isAnswer = status === 401 || status < 300;
  const text = `${of}: ${finn} answered ${String(status)}, not ${String(expected)}`;
  return isAnswer ? { wrong: text } : { unclear: text };
}
