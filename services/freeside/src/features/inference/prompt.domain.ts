import { LIMITS, PROMPT_OVERHEAD, type ChatMessage } from '@arrakis/contracts';
import type { Refusal } from './refusal.domain.ts';

/** What the client wants answered: one prompt, or a conversation. */
export type PromptInput =
  { readonly prompt: string } | { readonly messages: readonly ChatMessage[] };

/** The texts of a prompt, in order. */
export function textsOf(input: PromptInput): readonly string[] {
  return 'prompt' in input ? [input.prompt] : input.messages.map((message) => message.content);
}

/** UTF-8 bytes of all texts. */
export function promptBytes(input: PromptInput): number {
  return textsOf(input).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

/**
 * The most tokens that finn adds to the client's texts: the personality as one more message, and
 * what a chat template spends a message and a request.
 */
export function overheadTokens(messageCount: number): number {
  return (
    PROMPT_OVERHEAD.personalityBytes +
    PROMPT_OVERHEAD.tokensPerMessage * (messageCount + 1) +
    PROMPT_OVERHEAD.tokensPerRequest
  );
}

/**
 * A sound upper bound of the prompt's tokens without a tokenizer: no byte-level vocabulary spends
 * more than one token a byte.
 */
export function boundPromptTokens(input: PromptInput): number {
  return promptBytes(input) + overheadTokens(textsOf(input).length);
}

/** Neither white space nor what only shapes or controls text: joiners, marks of order, and so on. */
const VISIBLE = /[^\s\p{Cc}\p{Cf}]/u;

/** Refuses what no model should be asked: blank texts, and more bytes than finn accepts. */
export function checkPrompt(input: PromptInput): Refusal | undefined {
  const blank = textsOf(input).findIndex((text) => !VISIBLE.test(text));
  if (blank !== -1) {
    const field = 'prompt' in input ? '/prompt' : `/messages/${blank}/content`;
    return {
      code: 'invalid_request',
      detail: 'A text must hold more than white space.',
      errors: [{ field, reason: 'must hold more than white space' }],
    };
  }
  const bytes = promptBytes(input);
  if (bytes <= LIMITS.promptBytes) return undefined;
  return {
    code: 'body_too_large',
    detail: `The prompt has ${bytes} bytes of UTF-8; at most ${LIMITS.promptBytes} are accepted.`,
    errors: [
      {
        field: 'prompt' in input ? '/prompt' : '/messages',
        reason: `must not exceed ${LIMITS.promptBytes} bytes of UTF-8`,
      },
    ],
  };
}
