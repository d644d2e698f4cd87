import type { FinishReason } from '@arrakis/contracts';
import { readEvent, requestBody, type MessageEvent } from './anthropic.domain.ts';
import {
  ProviderError,
  type Provider,
  type ProviderRequest,
  type ProviderResult,
  type ProviderSink,
  type ProviderTimeouts,
} from './provider.ts';
import type { Tokenizer } from './tokenizer.ts';
import { VendorHttpClient } from './vendor-http.client.ts';

const API_VERSION = '2023-06-01';

export interface AnthropicOptions {
  /** Without a version: `https://api.anthropic.com`. */
  readonly baseUrl: string;
  readonly apiKey?: string | undefined;
  readonly timeouts: ProviderTimeouts;
  /** The vendor publishes none; the nearest known one serves for what has no reported usage. */
  readonly tokenizer: Tokenizer;
}

/** Anthropic's messages API. */
export function createAnthropic(options: AnthropicOptions): Provider {
  const http = new VendorHttpClient(options.baseUrl, options.timeouts);
  const headers: Record<string, string> = {
    'anthropic-version': API_VERSION,
    ...(options.apiKey === undefined ? {} : { 'x-api-key': options.apiKey }),
  };

  return {
    async complete(request: ProviderRequest, sink: ProviderSink, signal: AbortSignal) {
      const answer = new Answer();
      const call = {
        path: '/v1/messages',
        headers,
        body: requestBody(request),
        onEvent: (event: { readonly data: string }) => answer.take(readEvent(event.data), sink),
        onDrain: (resume: () => void) => sink.onDrain(resume),
      };
      try {
        await http.stream(call, signal);
      } catch (error) {
        // The final counts come with the stop reason: nothing that matters can follow it.
        if (!answer.isComplete || signal.aborted) throw error;
      }
      return answer.result();
    },
    probe: (_model, signal) => http.probe('/v1/models', headers, signal),
    countTokens: (_model, text) => options.tokenizer.count(text),
    close: () => http.close(),
  };
}

/** What has been read of one answer. */
class Answer {
  #promptTokens: number | undefined;
  #completionTokens: number | undefined;
  #finishReason: FinishReason | undefined;

  get isComplete(): boolean {
    return this.#finishReason !== undefined;
  }

  take(event: MessageEvent, sink: ProviderSink): 'continue' | 'pause' | 'end' {
    if (event.promptTokens !== undefined) {
      this.#promptTokens = event.promptTokens;
      sink.onPromptTokens?.(event.promptTokens);
    }
    this.#completionTokens = event.completionTokens ?? this.#completionTokens;
    this.#finishReason = event.finishReason ?? this.#finishReason;
    if (event.stop) {
      this.#finishReason ??= 'stop';
      return 'end';
    }
    if (event.text === '') return 'continue';
    return sink.onText(event.text) ? 'continue' : 'pause';
  }

  result(): ProviderResult {
    if (this.#finishReason === undefined) {
      throw new ProviderError('protocol_error', 'the provider ended the stream before the answer');
    }
    const promptTokens = this.#promptTokens;
    const completionTokens = this.#completionTokens;
    return {
      usage:
        promptTokens === undefined || completionTokens === undefined
          ? undefined
          : { promptTokens, completionTokens },
      finishReason: this.#finishReason,
    };
  }
}
