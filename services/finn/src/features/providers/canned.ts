import { setTimeout as delay } from 'node:timers/promises';
import type { Provider, ProviderRequest, ProviderSink } from './provider.ts';

const LABEL = '[canned answer: no model is configured]';
const TEXT =
  'Your request was authenticated, its cost was held, these words are streamed and counted one ' +
  'by one, and the hold is settled to what you received, exactly as with a real model. To get ' +
  'answers of your own, let the small local model be fetched, or name a provider in the pool file.';

/** Between two words: a reader sees a stream, and aborts have something to abort. */
const DEFAULT_WORD_DELAY_MS = 10;

/**
 * An answer without a model, always the same and labelled as such. Its tokenizer is its own: a
 * word is a token, so that counts are exact and `maxTokens` cuts where it says.
 */
export function createCanned(
  options: { readonly wordDelayMs?: number | undefined } = {},
): Provider {
  const wordDelayMs = options.wordDelayMs ?? DEFAULT_WORD_DELAY_MS;
  return {
    async complete(request, sink, signal) {
      signal.throwIfAborted();
      const prompt = promptTokens(request);
      sink.onPromptTokens?.(prompt);
      const words = `${LABEL} ${TEXT}`.split(/(?<= )/);
      const delivered = words.slice(0, request.maxTokens);
      for (const word of delivered) {
        await delay(wordDelayMs, undefined, { signal }).catch(() => signal.throwIfAborted());
        if (!sink.onText(word, 1)) await drained(sink, signal);
      }
      return {
        usage: { promptTokens: prompt, completionTokens: delivered.length },
        finishReason: delivered.length < words.length ? 'length' : 'stop',
      };
    },
    probe: () => Promise.resolve(),
    countTokens: (_model, text) => countWords(text),
    close: () => Promise.resolve(),
  };
}

function promptTokens(request: ProviderRequest): number {
  return request.messages.reduce((sum, { content }) => sum + countWords(content), 0);
}

function countWords(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}

function drained(sink: ProviderSink, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    sink.onDrain(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}
