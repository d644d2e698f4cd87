import type { ChatMessage, FinishReason } from '@arrakis/contracts';
import type { Provider, ProviderSink, ProviderUsage } from '../providers/provider.ts';
import { CallEnded, type Answer, type EndCause } from './answer.ts';
import { beginningWithin } from './counts.domain.ts';

/** No vocabulary has longer tokens; more text than this a token means a provider out of control. */
const MAX_CHARS_PER_TOKEN = 128;

export interface AttemptOptions {
  readonly provider: Provider;
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  readonly answer: Answer;
  /** Ends the call to the provider; its reason is a {@link CallEnded}. */
  readonly control: AbortController;
  readonly onFirstText: () => void;
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
  #tokens = 0;
  #text = '';

  constructor(options: AttemptOptions) {
    this.#options = options;
  }

  /** What came, whether or not it was sent. */
  get text(): string {
    return this.#text;
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

  onText(text: string, tokens: number): boolean {
    if (text === '' || this.#options.control.signal.aborted) return true;
    const stands = Math.max(1, tokens);
    const left = this.#options.maxTokens - this.#tokens;
    const charsLeft = this.#options.maxTokens * MAX_CHARS_PER_TOKEN - this.#text.length;
    if (stands <= left && text.length <= charsLeft) return this.#pass(text, stands);

    const { provider, model, control } = this.#options;
    const part = beginningWithin(text.slice(0, Math.max(0, charsLeft)), left, (candidate) =>
      provider.countTokens(model, candidate),
    );
    if (part !== '') this.#pass(part, left);
    control.abort(new CallEnded('cut'));
    return true;
  }

  onDrain(resume: () => void): void {
    this.#options.answer.onDrain(resume);
  }

  #pass(text: string, tokens: number): boolean {
    if (this.#text === '') this.#options.onFirstText();
    this.#text += text;
    this.#tokens += tokens;
    return this.#options.answer.write(text, tokens);
  }
}

function endedByUs(signal: AbortSignal): AttemptEnd | undefined {
  if (!signal.aborted) return undefined;
  const reason: unknown = signal.reason;
  return { kind: 'ended', why: reason instanceof CallEnded ? reason.why : 'shutdown' };
}
