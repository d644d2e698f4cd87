import { InferenceResponse } from '@arrakis/contracts';
import { Compile } from 'typebox/compile';
import type { FinnBody } from './finn-attempt.ts';

/** Twelve times what the longest answer should take. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

const Answer = Compile(InferenceResponse);

export type PlainAnswer =
  | { readonly ok: true; readonly answer: InferenceResponse }
  | { readonly ok: false; readonly reason: 'cut' | 'timeout' | 'protocol_error' };

/** Reads finn's whole answer. A client that leaves meanwhile is seen by the caller. */
export async function readPlainAnswer(body: FinnBody, signal: AbortSignal): Promise<PlainAnswer> {
  const { promise, resolve } = Promise.withResolvers<PlainAnswer>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const onGone = (): void => resolve({ ok: false, reason: 'cut' });
  signal.addEventListener('abort', onGone, { once: true });
  body.read({
    onData(chunk) {
      bytes += chunk.length;
      if (bytes <= MAX_ANSWER_BYTES) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      body.abort();
      resolve({ ok: false, reason: 'protocol_error' });
    },
    onEnd: () => resolve(parseAnswer(Buffer.concat(chunks))),
    onError: (reason) => resolve({ ok: false, reason }),
  });
  const answer = await promise;
  signal.removeEventListener('abort', onGone);
  return answer;
}

function parseAnswer(bytes: Buffer): PlainAnswer {
  try {
    const parsed: unknown = JSON.parse(bytes.toString());
    if (Answer.Check(parsed)) return { ok: true, answer: parsed };
  } catch {
    // Reported like any other answer that isn't one.
  }
  return { ok: false, reason: 'protocol_error' };
}
