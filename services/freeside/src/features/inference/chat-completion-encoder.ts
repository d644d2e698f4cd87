import type { FinishReason, Problem, Usage } from '@arrakis/contracts';
import { toOpenAiError } from '@arrakis/service-kit';
import type { StreamEncoder } from './stream-encoder.ts';

export interface ChunkOptions {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  /** As the client named it. */
  readonly model: string;
  readonly includeUsage: boolean;
}

/** finn's events as OpenAI's `chat.completion.chunk` objects. */
export class ChatCompletionEncoder implements StreamEncoder {
  readonly #options: ChunkOptions;
  /** What each chunk begins with and, up to the usage, what each delta ends with. */
  readonly #start: string;
  readonly #end: string;
  #isFirst = true;
  #text = '';

  constructor(options: ChunkOptions) {
    this.#options = options;
    const head = {
      id: options.id,
      object: 'chat.completion.chunk',
      created: options.created,
      model: options.model,
      system_fingerprint: null,
    };
    this.#start = `data: ${JSON.stringify(head).slice(0, -1)},"choices":`;
    this.#end = `${options.includeUsage ? ',"usage":null' : ''}}\n\n`;
  }

  onToken(data: Buffer): void {
    const content = contentOf(data);
    if (content === undefined) return;
    this.#sayWho();
    this.#delta(`{"content":${JSON.stringify(content)}}`, 'null');
  }

  onDone(usage: Usage, finishReason: FinishReason): void {
    this.#sayWho();
    this.#delta('{}', JSON.stringify(finishReason));
    if (this.#options.includeUsage) {
      this.#text += `${this.#start}[],"usage":${JSON.stringify(usage)}}\n\n`;
    }
    this.#text += 'data: [DONE]\n\n';
  }

  onError(error: Problem): void {
    this.#text += this.failure(error);
  }

  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }

  failure(error: Problem): string {
    return `data: ${JSON.stringify({ error: toOpenAiError(error).error })}\n\n`;
  }

  #sayWho(): void {
    if (!this.#isFirst) return;
    this.#isFirst = false;
    this.#delta('{"role":"assistant","content":"","refusal":null}', 'null');
  }

  #delta(delta: string, finishReason: string): void {
    this.#text += `${this.#start}[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finishReason}}]${this.#end}`;
  }
}

function contentOf(data: Buffer): string | undefined {
  try {
    const event = JSON.parse(data.toString()) as { content?: unknown };
    return typeof event.content === 'string' ? event.content : undefined;
  } catch {
    return undefined;
  }
}
