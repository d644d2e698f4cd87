import type { FinishReason } from '@arrakis/contracts';
import {
  readEvent,
  requestBody,
  type Delta,
  type MaxTokensField,
} from './openai-compatible.domain.ts';
import {
  ProviderError,
  type Provider,
  type ProviderRequest,
  type ProviderResult,
  type ProviderSink,
  type ProviderTimeouts,
  type ProviderUsage,
} from './provider.ts';
import type { Tokenizer } from './tokenizer.ts';
import { VendorHttpClient } from './vendor-http.client.ts';

export interface OpenAICompatibleOptions {
  /** With its version, without `/chat/completions`: `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  readonly apiKey?: string | undefined;
  readonly timeouts: ProviderTimeouts;
  readonly tokenizer: Tokenizer;
  /** OpenAI's reasoning models refuse `max_tokens`; most other servers know nothing else. */
  readonly maxTokensField?: MaxTokensField | undefined;
}

/** OpenAI, OpenRouter, vLLM, Ollama, llama.cpp and whoever else speaks chat completions. */
export function createOpenAICompatible(options: OpenAICompatibleOptions): Provider {
  const http = new VendorHttpClient(options.baseUrl, options.timeouts);
  const headers: Record<string, string> =
    options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` };
  const maxTokensField = options.maxTokensField ?? 'max_tokens';

  return {
    async complete(request: ProviderRequest, sink: ProviderSink, signal: AbortSignal) {
      const answer = new Answer();
      const call = {
        path: '/chat/completions',
        headers,
        body: requestBody(request, maxTokensField),
        onEvent: (event: { readonly data: string }) => answer.take(readEvent(event.data), sink),
        onDrain: (resume: () => void) => sink.onDrain(resume),
      };
      try {
        await http.stream(call, signal);
      } catch (error) {
        // The model had ended: what is missing is at most the usage, which the caller then counts.
        if (!answer.isComplete || signal.aborted) throw error;
      }
      return answer.result();
    },
    probe: (_model, signal) => http.probe('/models', headers, signal),
    countTokens: (_model, text) => options.tokenizer.count(text),
    close: () => http.close(),
  };
}

/** What has been read of one answer. */
class Answer {
  #finishReason: FinishReason | undefined;
  #usage: ProviderUsage | undefined;
  #done = false;

  get isComplete(): boolean {
    return this.#done || this.#finishReason !== undefined;
  }

  take(delta: Delta, sink: ProviderSink): 'continue' | 'pause' | 'end' {
    this.#usage = delta.usage ?? this.#usage;
    this.#finishReason = delta.finishReason ?? this.#finishReason;
    if (delta.done) {
      this.#done = true;
      return 'end';
    }
    if (delta.text === '') return 'continue';
    return sink.onText(delta.text) ? 'continue' : 'pause';
  }

  result(): ProviderResult {
    if (!this.isComplete) {
      throw new ProviderError('protocol_error', 'the provider ended the stream before the answer');
    }
    return { usage: this.#usage, finishReason: this.#finishReason ?? 'stop' };
  }
}
