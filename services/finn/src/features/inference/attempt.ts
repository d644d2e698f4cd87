import type { ChatMessage, FinishReason } from '@arrakis/contracts';
import type { Provider, ProviderSink, ProviderUsage } from '../providers/provider.ts';
import { CallEnded, type Answer, type EndCause } from './answer.ts';
import { RunningCount } from './running-count.domain.ts';

export interface AttemptOptions {
  readonly provider: Provider;
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  readonly answer: Answer;
  /** Ends the call to the provider; its reason is a {@link CallEnded}. */
  readonly control: AbortController;
  readonly onFirstText: () => void;
  readonly onPromptTokens: (tokens: number) => void;
}

export type AttemptEnd =
  | {
      readonly kind: 'completed';
      readonly usage: ProviderUsage | undefined;
      readonly finishReason: FinishReason;
    }
  | { readonly kind: 'ended'; readonly why: EndCause }
  | { readonly kind: 'failed'; readonly error: unknown };

/** One call to one target: passes on what comes, and no more than was asked for. */
export class Attempt implements ProviderSink {
  readonly #options: AttemptOptions;
  /** What came, whether or not it was sent. */
  readonly received: RunningCount;
  #promptTokens: number | undefined;

  constructor(options: AttemptOptions) {
    this.#options = options;
    const { maxTokens, model, provider } = options;
    this.received = new RunningCount({
      maxTokens,
      count: (text) => provider.countTokens(model, text),
    });
  }

  get hasText(): boolean {
    return this.received.text !== '';
  }

  /** Never throws. */
  async run(): Promise<AttemptEnd> {
    const { provider, model, messages, maxTokens, control } = this.#options;
    try {
      const result = await provider.complete({ model, messages, maxTokens }, this, control.signal);
      return endedByUs(control.signal) ?? { kind: 'completed', ...result };
    } catch (error) {
      return endedByUs(control.signal) ?? { kind: 'failed', error };
    }
  }

  onText(text: string, tokens?: number): boolean {
    const { answer, control, onFirstText } = this.#options;
    if (text === '' || control.signal.aborted) return true;
    const isFirst = !this.hasText;
    const part = this.received.take(text, tokens);
    if (part !== '' && isFirst) onFirstText();
    const keepsUp = part === '' || answer.write(part, this.received.tokens);
    if (part.length === text.length) return keepsUp;
    control.abort(new CallEnded('cut'));
    return true;
  }

  /** By the provider's own count, where it told it before its text. */
  get promptTokens(): number | undefined {
    return this.#promptTokens;
  }

  onPromptTokens(tokens: number): void {
    this.#promptTokens = tokens;
    this.#options.onPromptTokens(tokens);
  }

  onDrain(resume: () => void): void {
    this.#options.answer.onDrain(resume);
  }
}

function endedByUs(signal: AbortSignal): AttemptEnd | undefined {
  if (!signal.aborted) return undefined;
  const reason: unknown = signal.reason;
  return { kind: 'ended', why: reason instanceof CallEnded ? reason.why : 'shutdown' };
}
