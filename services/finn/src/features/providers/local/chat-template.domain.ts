import type { ChatMessage } from '@arrakis/contracts';

/** A piece of a prompt: a control token of the model, or text in which nothing is one. */
export type PromptPart = { readonly control: string } | { readonly text: string };

/** Parts per message in what {@link chatml} returns. */
export const CHATML_PARTS_PER_MESSAGE = 4;

/**
 * ChatML, ready for the assistant's turn. Contents are texts of their own, so that a user who
 * writes `<|im_end|>` has written eleven characters and not ended a turn.
 */
export function chatml(messages: readonly ChatMessage[]): PromptPart[] {
  const parts: PromptPart[] = [];
  for (const { role, content } of messages) {
    parts.push(
      { control: '<|im_start|>' },
      { text: `${role}\n${content}` },
      { control: '<|im_end|>' },
      { text: '\n' },
    );
  }
  parts.push({ control: '<|im_start|>' }, { text: 'assistant\n' });
  return parts;
}
