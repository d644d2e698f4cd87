import type { ProviderSink } from '../provider.ts';

/** A sink for tests that keeps what it got. */
export interface CollectingSink extends ProviderSink {
  readonly text: string;
  readonly deltas: readonly string[];
  readonly tokens: number;
  /** Resolves when the provider has been told that the reader is behind and waits. */
  readonly paused: Promise<void>;
  resume(): void;
}

export interface SinkOptions {
  readonly onText?: (tokens: number) => void;
  /** The reader is behind once this many tokens have come, until `resume()`. */
  readonly pauseAt?: number;
}

export function collectingSink(options: SinkOptions = {}): CollectingSink {
  const deltas: string[] = [];
  const paused = Promise.withResolvers<undefined>();
  let tokens = 0;
  let resume: (() => void) | undefined;
  let hasPaused = false;
  return {
    get text() {
      return deltas.join('');
    },
    deltas,
    get tokens() {
      return tokens;
    },
    paused: paused.promise as Promise<unknown> as Promise<void>,
    resume: () => resume?.(),
    onText(text, count = 1) {
      deltas.push(text);
      tokens += count;
      options.onText?.(tokens);
      if (hasPaused || tokens < (options.pauseAt ?? Infinity)) return true;
      hasPaused = true;
      return false;
    },
    onDrain(callback) {
      resume = callback;
      paused.resolve(undefined);
    },
  };
}
