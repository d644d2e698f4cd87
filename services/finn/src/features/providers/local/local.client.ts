import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  ProviderError,
  type Provider,
  type ProviderLog,
  type ProviderRequest,
  type ProviderResult,
  type ProviderSink,
  type ProviderTimeouts,
} from '../provider.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { findLocalModel, type LocalModel } from './catalogue.domain.ts';
import { acquireModelHost, type ModelHost, type ModelRequest } from './model-host.ts';
import type { FromModel } from './protocol.ts';

const DEFAULT_MAX_QUEUED = 16;
/** A cold start on a busy machine: the process, the bindings, the file, a first computation. */
const PROBE_TIMEOUT_MS = 60_000;

export interface LocalOptions {
  /** Directory with the GGUF files that the catalogue names. */
  readonly modelDir: string;
  readonly timeouts: ProviderTimeouts;
  /**
   * Of the nearest known encoding: the model's own is in another process, so `countTokens` is an
   * estimate. The counts of `onText` and of the result are the model's and exact.
   */
  readonly tokenizer: Tokenizer;
  readonly log: ProviderLog;
  /** Calls that may wait for the one that runs; default 16. */
  readonly maxQueued?: number | undefined;
}

/** Where a job's answer goes. */
interface Settle {
  readonly resolve: (result: ProviderResult | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** A small model on this machine, in a process of its own, one answer at a time. */
export function createLocal(options: LocalOptions): Provider {
  const { host, release } = acquireModelHost(options.modelDir, {
    maxQueued: options.maxQueued ?? DEFAULT_MAX_QUEUED,
    idleMs: options.timeouts.idleMs,
    log: options.log,
  });
  const locate = (name: string): { model: LocalModel; modelPath: string } => {
    const model = findLocalModel(name);
    if (model === undefined) throw new ProviderError('rejected', 'there is no such local model');
    const modelPath = join(options.modelDir, model.file);
    // Asked here, where it costs microseconds: the process would need a second to find out.
    if (!existsSync(modelPath)) {
      throw new ProviderError('connect_failed', 'the file of the local model is not there');
    }
    return { model, modelPath };
  };
  return {
    async complete(request: ProviderRequest, sink: ProviderSink, signal: AbortSignal) {
      const { messages, maxTokens } = request;
      const run = { type: 'run', ...locate(request.model), messages, maxTokens } as const;
      const result = await call(host, run, { options, sink, signal });
      if (result === undefined) throw new ProviderError('protocol_error', 'no answer came');
      return result;
    },
    probeTimeoutMs: PROBE_TIMEOUT_MS,
    async probe(model, signal) {
      // Answering somebody is answering; a probe in the queue would time out behind a long answer.
      if (host.isAnswering) return;
      await call(host, { type: 'load', ...locate(model) }, { options, sink: NO_SINK, signal });
    },
    countTokens: (_model, text) => options.tokenizer.count(text),
    close: release,
  };
}

const NO_SINK: ProviderSink = { onText: () => true, onDrain: () => undefined };

interface CallContext {
  readonly options: LocalOptions;
  readonly sink: ProviderSink;
  readonly signal: AbortSignal;
}

function call(
  host: ModelHost,
  request: ModelRequest,
  { options, sink, signal }: CallContext,
): Promise<ProviderResult | undefined> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    let isSettled = false;
    const settle: Settle = {
      resolve: (result) => finish(() => resolve(result)),
      reject: (error) => finish(() => reject(error)),
    };
    const job = host.submit(request, {
      onMessage: (message) => {
        if (isSettled) return;
        try {
          onMessage(message, { sink, settle, pause });
        } catch (error) {
          stop(error as Error);
        }
      },
      onFailure: settle.reject,
    });
    let isPaused = false;
    // Deltas that were on their way arrive after the pause: they ask for no second one.
    const pause = (): void => {
      if (isPaused) return;
      isPaused = true;
      job.pause();
      sink.onDrain(() => {
        isPaused = false;
        job.resume();
      });
    };
    const stop = (error: Error): void => {
      settle.reject(error);
      job.abort();
    };
    const onAbort = (): void => stop(signal.reason as Error);
    signal.addEventListener('abort', onAbort);
    const total = setTimeout(() => {
      stop(new ProviderError('timeout', 'the local model took too long'));
    }, options.timeouts.totalMs);
    const finish = (then: () => void): void => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(total);
      signal.removeEventListener('abort', onAbort);
      then();
    };
  });
}

interface Reply extends Pick<CallContext, 'sink'> {
  readonly settle: Settle;
  readonly pause: () => void;
}

const FAILURES = {
  refused: () => new ProviderError('rejected', "the prompt doesn't fit the local model"),
  unavailable: () => new ProviderError('connect_failed', "the local model can't be loaded"),
  aborted: () => new ProviderError('server_error', 'the local model stopped'),
} as const;

type Failure = Extract<FromModel, { readonly type: keyof typeof FAILURES }>;

function isFailure(message: FromModel): message is Failure {
  return Object.hasOwn(FAILURES, message.type);
}

function onMessage(message: FromModel, { sink, settle, pause }: Reply): void {
  if (isFailure(message)) {
    settle.reject(FAILURES[message.type]());
    return;
  }
  switch (message.type) {
    case 'delta':
      if (!sink.onText(message.text, message.tokens)) pause();
      return;
    case 'prompt':
      sink.onPromptTokens?.(message.promptTokens);
      return;
    case 'end': {
      const { promptTokens, completionTokens, finishReason } = message;
      settle.resolve({ usage: { promptTokens, completionTokens }, finishReason });
      return;
    }
    case 'working':
      return;
    case 'loaded':
      settle.resolve(undefined);
      return;
  }
}
