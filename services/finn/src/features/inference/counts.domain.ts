import { PROMPT_OVERHEAD, usageOf, type ChatMessage, type Usage } from '@arrakis/contracts';

/**
 * What a chat template adds, as the vendors that document theirs have it. Within
 * `PROMPT_OVERHEAD`, on which the hold was bounded.
 */
const TEMPLATE_TOKENS = { perMessage: 4, perRequest: 3 } as const;

export type CountText = (text: string) => number;

/**
 * Tokens of the whole prompt, by our own count.
 *
 * @param countFirst for the first message, where its text recurs and its count is known
 */
export function countPrompt(
  messages: readonly ChatMessage[],
  count: CountText,
  countFirst = count,
): number {
  return messages.reduce<number>(
    (sum, { content }, index) =>
      sum + (index === 0 ? countFirst : count)(content) + TEMPLATE_TOKENS.perMessage,
    TEMPLATE_TOKENS.perRequest,
  );
}

/** No byte-level vocabulary spends more than a token a byte, no template more than the overhead. */
export function boundPrompt(messages: readonly ChatMessage[]): number {
  return messages.reduce<number>(
    (sum, { content }) => sum + Buffer.byteLength(content) + PROMPT_OVERHEAD.tokensPerMessage,
    PROMPT_OVERHEAD.tokensPerRequest,
  );
}

export interface CompletedAnswer {
  /** As the provider reported it. */
  readonly reported:
    { readonly promptTokens: number; readonly completionTokens: number } | undefined;
  readonly countedPromptTokens: number;
  /** What no honest report exceeds; see {@link boundPrompt}. */
  readonly promptBound: number;
  readonly text: string;
  readonly maxTokens: number;
  readonly count: CountText;
}

/** Of an answer that came to its end: the provider knows best, else we count what was sent. */
export function usageOfCompleted(answer: CompletedAnswer): Usage {
  const { reported, text, maxTokens } = answer;
  const promptTokens = wholeNumber(reported?.promptTokens ?? answer.countedPromptTokens);
  const completionTokens = reported?.completionTokens ?? answer.count(text);
  return usageOf(
    Math.min(promptTokens, answer.promptBound),
    plausible(completionTokens, text, maxTokens),
  );
}

export interface PartialAnswer {
  readonly text: string;
  /** Of the text, where the provider counted it; else it is counted here. */
  readonly exactTokens: number | undefined;
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly count: CountText;
}

/**
 * Of an answer cut short, by the caller, by us or by a failure: what was handed over, however much
 * more was generated. Where nothing was, nothing was used.
 */
export function usageOfPart(part: PartialAnswer): Usage {
  const { text, exactTokens, promptTokens, maxTokens, count } = part;
  if (text === '') return usageOf(0, 0);
  return usageOf(promptTokens, plausible(exactTokens ?? count(text), text, maxTokens));
}

/** Never above what was held for, never nothing where something was delivered. */
function plausible(completionTokens: number, text: string, maxTokens: number): number {
  const least = text === '' ? 0 : 1;
  return Math.min(Math.max(wholeNumber(completionTokens), least), maxTokens);
}

function wholeNumber(value: number): number {
  return Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

/**
 * The longest beginning of `text` that stands for at most `room` tokens; it never ends within a
 * surrogate pair. For a provider that sends more than it was asked for.
 */
export function beginningWithin(text: string, room: number, count: CountText): string {
  if (room <= 0) return '';
  const characters = Array.from(text);
  let fits = 0;
  let tooLong = characters.length + 1;
  while (tooLong - fits > 1) {
    const middle = (fits + tooLong) >>> 1;
    if (count(characters.slice(0, middle).join('')) <= room) fits = middle;
    else tooLong = middle;
  }
  return characters.slice(0, fits).join('');
}
