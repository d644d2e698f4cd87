import { createPublicKey } from 'node:crypto';
import { JWKS_PATH, JwkSet } from '@arrakis/contracts';
import type { SigningKey } from '@arrakis/signing-keys';
import { Value } from 'typebox/value';
import { conclude, inconclusive, type Gate, type Json } from '../gate.domain.ts';
import {
  holdersProbes,
  judge,
  strangersProbes,
  tryDoor,
  type DoorAnswer,
} from '../probes/finn-door.ts';
import type { FreesideClient } from '../probes/freeside.client.ts';
import { ask, at } from '../probes/http.client.ts';

export interface AuthOptions {
  readonly freesideUrl: string;
  readonly freeside: FreesideClient | undefined;
  /** Every finn that is to be asked itself, not one behind a balancer. */
  readonly finnUrls: (signal: AbortSignal) => Promise<readonly string[]>;
  /** The key that freeside signs with; without it finn's refusal of an expired token isn't seen. */
  readonly activeKey: (() => Promise<SigningKey>) | undefined;
  readonly now: () => Date;
  readonly deadlineMs: number;
}

interface Notes {
  readonly wrong: string[];
  readonly unclear: string[];
}

/** Service tokens end to end: served keys, a request that goes through, and who is kept out. */
export function authGate(options: AuthOptions): Gate {
  return {
    name: 'auth',
    asks: 'do service tokens work from freeside to finn, and does finn refuse all others',
    deadlineMs: options.deadlineMs,
    whenLate: 'inconclusive',
    lane: 'spending',
    async run(signal) {
      const notes: Notes = { wrong: [], unclear: [] };
      const kids = await servedKids(options.freesideUrl, notes, signal);
      const [kid] = kids;
      if (kid === undefined) {
        const unclear = ['no key is served to verify with', ...notes.unclear];
        return conclude({ wrong: notes.wrong, unclear }, '', { kids });
      }
      const request = await signedRequest(options.freeside, notes, signal);
      const finnUrls = await options.finnUrls(signal);
      if (finnUrls.length === 0) return inconclusive('no finn is known to ask', { kids });
      const probes = [
        ...strangersProbes(kid, options.now()),
        ...(await ownProbes(options, kids, notes)),
      ];
      const answers = await Promise.all(
        finnUrls.flatMap((finn) => probes.map((probe) => tryDoor(finn, probe, signal))),
      );
      note(notes, answers);
      const seen = `${String(kids.length)} keys served, ${String(answers.length)} tries at finn's door as they must be`;
      return conclude(notes, seen, { kids, request, answers: answers as unknown as Json });
    },
  };
}

/** Ids of the served keys that parse. A key set that isn't one, or shows private parts, is wrong. */
async function servedKids(
  freesideUrl: string,
  { wrong }: Notes,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { status, json } = await ask(freesideUrl + JWKS_PATH, { signal });
  if (status !== 200 || !Value.Check(JwkSet, json)) {
    wrong.push(`${JWKS_PATH} answered ${String(status)} and no key set`);
    return [];
  }
  const raw = at(json, 'keys');
  if (Array.isArray(raw) && raw.some((key: unknown) => at(key, 'd') !== undefined)) {
    wrong.push(`${JWKS_PATH} shows a private key`);
    return [];
  }
  return json.keys.flatMap(({ kid, kty, crv, x, y }) => {
    try {
      createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' });
      return [kid];
    } catch {
      wrong.push(`the served key ${kid} is no point of its curve`);
      return [];
    }
  });
}

/** A paid answer: only a token that finn accepts gets one. */
async function signedRequest(
  freeside: FreesideClient | undefined,
  { wrong, unclear }: Notes,
  signal: AbortSignal,
): Promise<Json> {
  if (freeside === undefined) {
    unclear.push('no API key was given (GONOGO_API_KEY), so no request went through');
    return null;
  }
  const model = at((await freeside.models(signal)).json, 'data', 0, 'id');
  if (typeof model !== 'string') {
    unclear.push('/v1/models named no model to ask');
    return null;
  }
  const { status, code, requestId } = await freeside.chat(model, signal);
  if (status !== 200) wrong.push(`a signed-in request got ${String(status)} ${code ?? ''}`.trim());
  return { model, status, requestId: requestId ?? null };
}

async function ownProbes({ activeKey, now }: AuthOptions, kids: readonly string[], notes: Notes) {
  if (activeKey === undefined) {
    notes.unclear.push(
      'an expired token could not be tried: no signing key was given (S2S_KEY_STORE_DIR)',
    );
    return [];
  }
  const key = await activeKey();
  if (!kids.includes(key.kid)) notes.wrong.push(`the active key ${key.kid} is not served`);
  return holdersProbes(key, now());
}

function note({ wrong, unclear }: Notes, answers: readonly DoorAnswer[]): void {
  for (const verdict of answers.map(judge)) {
    if (verdict.wrong !== undefined) wrong.push(verdict.wrong);
    if (verdict.unclear !== undefined) unclear.push(verdict.unclear);
  }
}
