import { setTimeout as pause } from 'node:timers/promises';
import { DEFAULT_STEPS, type Scenario, type Step } from './scenario.ts';
import type { Exchange, ScriptedServer } from './scripted-server.ts';

/** How the steps become bytes of one vendor's protocol. */
export interface Sink {
  text(text: string): Promise<void>;
  raw(bytes: string): Promise<void>;
  streamError(message: string): Promise<void>;
}

export interface Played {
  /** Text chunks, each one token. */
  readonly tokens: number;
  readonly finishReason: 'stop' | 'length';
  /** True when the script ended the connection or the stream itself: nothing more may be sent. */
  readonly over: boolean;
}

/** Waits as the scenario says before any header is sent. */
export async function beforeHeaders(
  scenario: Scenario,
  exchange: Exchange,
  server: ScriptedServer,
): Promise<void> {
  if (scenario.headersDelayMs !== undefined) {
    await pause(scenario.headersDelayMs, undefined, { signal: exchange.gone });
  }
  if (scenario.holdHeaders) await server.hold(exchange);
}

/** Plays the steps; never more texts than `maxTokens`, as a real model. */
export async function play(
  scenario: Scenario,
  maxTokens: number,
  exchange: Exchange,
  server: ScriptedServer,
  sink: Sink,
): Promise<Played> {
  let tokens = 0;
  for (const step of scenario.steps ?? DEFAULT_STEPS) {
    if (typeof step !== 'string') {
      if (await playOther(step, exchange, server, sink)) {
        return { tokens, finishReason: 'stop', over: true };
      }
      continue;
    }
    if (tokens === maxTokens) return { tokens, finishReason: 'length', over: false };
    await sink.text(step);
    tokens += 1;
    exchange.record.chunksSent = tokens;
  }
  return { tokens, finishReason: scenario.finishReason ?? 'stop', over: false };
}

/** True when the answer is over with this step. */
async function playOther(
  step: Exclude<Step, string>,
  exchange: Exchange,
  server: ScriptedServer,
  sink: Sink,
): Promise<boolean> {
  if ('waitMs' in step) {
    await pause(step.waitMs, undefined, { signal: exchange.gone });
  } else if ('hold' in step) {
    await server.hold(exchange);
  } else if ('stall' in step) {
    await exchange.whenGone;
  } else if ('raw' in step) {
    await sink.raw(step.raw);
  } else if ('streamError' in step) {
    await sink.streamError(step.streamError);
    return true;
  } else {
    exchange.record.outcome = 'cut';
    exchange.response.socket?.resetAndDestroy();
    return true;
  }
  return false;
}

/** Writes and waits until the bytes have left this process, or the client is gone. */
export async function writeBytes(exchange: Exchange, bytes: string): Promise<void> {
  const written = new Promise<void>((resolve, reject) => {
    exchange.response.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
  await Promise.race([written, exchange.whenGone]);
}

/** Collects a plain answer instead of streaming it. */
export class TextSink implements Sink {
  content = '';
  rawBody: string | undefined;

  text(text: string): Promise<void> {
    this.content += text;
    return Promise.resolve();
  }
  raw(bytes: string): Promise<void> {
    this.rawBody = (this.rawBody ?? '') + bytes;
    return Promise.resolve();
  }
  streamError(): Promise<void> {
    throw new Error('a plain answer has no errors inside: script a status');
  }
}

/** A rough but steady count for prompts of which the script says nothing. */
export function promptTokensOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + 4 + Math.ceil(text.length / 4), 3);
}
