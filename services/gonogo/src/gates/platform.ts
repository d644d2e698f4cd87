import { conclude, fail, type Finding, type Gate } from '../gate.domain.ts';
import { codeOf, type FreesideClient } from '../probes/freeside.client.ts';
import { NoAnswerError, ask, at } from '../probes/http.client.ts';
import { withoutApiKey } from './no-key.ts';

export interface PlatformOptions {
  readonly freesideUrl: string;
  readonly freeside: FreesideClient | undefined;
  readonly deadlineMs: number;
}

/** Well formed, and nobody's. */
const STRANGERS_KEY = `lf_live_aaaaaaaaaaaa_${'0'.repeat(32)}`;

interface Refusal {
  readonly of: string;
  readonly status: number;
  readonly code: string | null;
  readonly expected: string;
}

/** From an API key to an answer, and no answer without one. */
export function platformGate(options: PlatformOptions): Gate {
  return {
    name: 'platform',
    asks: 'does an API key get an answer, and does a wrong one get 401',
    deadlineMs: options.deadlineMs,
    whenLate: 'fail',
    lane: 'spending',
    async run(signal) {
      if (options.freeside === undefined) return withoutApiKey();
      try {
        return await look(options.freesideUrl, options.freeside, signal);
      } catch (error) {
        if (error instanceof NoAnswerError) return fail(error.message, {});
        throw error;
      }
    },
  };
}

async function look(url: string, freeside: FreesideClient, signal: AbortSignal): Promise<Finding> {
  const wrong: string[] = [];
  const answer = await askOnce(freeside, signal, wrong);
  const refusals = await refusalsOf(url, signal);
  for (const { of, status, code, expected } of refusals) {
    if (status === 401 && code === expected) continue;
    wrong.push(`${of}: ${String(status)} ${code ?? 'without a code'}, not 401 ${expected}`);
  }
  return conclude(
    { wrong, unclear: [] },
    `an answer of ${String(answer?.completionTokens ?? 0)} tokens; wrong keys refused`,
    { answer: answer ?? null, refusals: refusals.map((one) => ({ ...one })) },
  );
}

async function askOnce(freeside: FreesideClient, signal: AbortSignal, wrong: string[]) {
  const models = await freeside.models(signal);
  const model = at(models.json, 'data', 0, 'id');
  if (models.status !== 200 || typeof model !== 'string') {
    wrong.push(`/v1/models: ${String(models.status)}, no model`);
    return undefined;
  }
  const { status, completionTokens, requestId, code } = await freeside.chat(model, signal);
  if (status !== 200) wrong.push(`${model}: ${String(status)} ${code ?? ''}`.trim());
  else if (completionTokens === 0) wrong.push(`${model}: an answer of no tokens`);
  return { model, status, completionTokens, requestId: requestId ?? null };
}

async function refusalsOf(url: string, signal: AbortSignal): Promise<readonly Refusal[]> {
  const stranger = { authorization: `Bearer ${STRANGERS_KEY}` };
  const body = { model: 'x', messages: [{ role: 'user', content: 'x' }] };
  const chat = { method: 'POST' as const, body };
  const cases = [
    ['balance, a wrong key', '/api/v1/balance', { headers: stranger }, 'invalid_api_key'],
    [
      'chat, a wrong key',
      '/v1/chat/completions',
      { ...chat, headers: stranger },
      'invalid_api_key',
    ],
    ['balance, no key', '/api/v1/balance', {}, 'unauthorized'],
  ] as const;
  return Promise.all(
    cases.map(async ([of, path, init, expected]) => {
      const { status, json } = await ask(url + path, { ...init, signal });
      return { of, status, code: codeOf(json) ?? null, expected };
    }),
  );
}
