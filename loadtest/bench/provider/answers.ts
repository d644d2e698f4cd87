import { answerText, tokenText } from '../lib/directive.ts';

/** Bytes of answers, made once and sent many times: the fake must cost as little as it can. */

const PROMPT_TOKENS = 120;
const HEAD = { id: 'chatcmpl-bench', created: 1_760_000_000, model: 'bench' };

function usage(tokens: number): object {
  return {
    prompt_tokens: PROMPT_TOKENS,
    completion_tokens: tokens,
    total_tokens: PROMPT_TOKENS + tokens,
  };
}

function event(rest: object): string {
  return `data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', ...rest })}\n\n`;
}

function delta(content: object, finish: string | null): string {
  return event({ choices: [{ index: 0, delta: content, finish_reason: finish }] });
}

function remember<T>(make: (key: number) => T): (key: number) => T {
  const known = new Map<number, T>();
  return (key) => {
    const value = known.get(key) ?? make(key);
    known.set(key, value);
    return value;
  };
}

export const tokenEvent = remember((index) => delta({ content: tokenText(index) }, null));

export const lastEvents = remember((tokens) =>
  [delta({}, 'stop'), event({ choices: [], usage: usage(tokens) }), 'data: [DONE]\n\n'].join(''),
);

export const wholeStream = remember((tokens) =>
  Buffer.from(
    Array.from({ length: tokens }, (_, index) => tokenEvent(index)).join('') + lastEvents(tokens),
  ),
);

export const plainAnswer = remember((tokens) => {
  const message = { role: 'assistant', content: answerText(tokens), refusal: null };
  return Buffer.from(
    JSON.stringify({
      ...HEAD,
      object: 'chat.completion',
      choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
      usage: usage(tokens),
    }),
  );
});

/** One token's event as a chunk of HTTP/1.1. */
export const tokenFrame = remember((index) => {
  const body = Buffer.from(tokenEvent(index));
  return Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')]);
});
