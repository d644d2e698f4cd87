import { countPrompt } from '../../../services/finn/src/features/inference/counts.domain.ts';
import { loadTokenizer } from '../../../services/finn/src/features/providers/tokenizer.ts';

/** A prompt by finn's own count, for answers whose provider reports no usage. */
export function countPromptAsFinn(contents: readonly string[]): number {
  const tokenizer = loadTokenizer('o200k_base');
  const messages = contents.map((content) => ({ role: 'user' as const, content }));
  return countPrompt(messages, (text) => tokenizer.count(text));
}
