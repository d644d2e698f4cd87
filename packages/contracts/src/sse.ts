import type { FinishReason, Usage } from './inference.ts';
import type { Problem } from './problem.ts';

/**
 * Server-sent events of contract v1.0.0. Each event is one `data:` line of JSON, so that whatever
 * a token contains (`\n\n`, `\r`, `data:`) is escaped by JSON and arrives byte-exact.
 *
 * A token event carries `id:` with the completion tokens delivered so far, itself included: what
 * a relay has passed on can be proven from the last event it saw.
 */
export interface TokenEvent {
  readonly type: 'token';
  readonly content: string;
}
export interface DoneEvent {
  readonly type: 'done';
  readonly usage: Usage;
  readonly finish_reason: FinishReason;
}
export interface ErrorEvent {
  readonly type: 'error';
  readonly error: Problem;
}
export type StreamEvent = TokenEvent | DoneEvent | ErrorEvent;

/** How the three kinds of event begin on the wire; `type` is always the first member. */
export const SSE_PREFIX = {
  token: '{"type":"token",',
  done: '{"type":"done",',
  error: '{"type":"error",',
} as const;

export const SSE_CONTENT_TYPE = 'text/event-stream; charset=utf-8';

export function formatTokenEvent(content: string, completionTokens: number): string {
  return `id: ${String(completionTokens)}\ndata: ${SSE_PREFIX.token}"content":${JSON.stringify(content)}}\n\n`;
}

export function formatDoneEvent(usage: Usage, finishReason: FinishReason): string {
  return `data: ${JSON.stringify({ type: 'done', usage, finish_reason: finishReason } satisfies DoneEvent)}\n\n`;
}

export function formatErrorEvent(error: Problem): string {
  return `data: ${JSON.stringify({ type: 'error', error } satisfies ErrorEvent)}\n\n`;
}
