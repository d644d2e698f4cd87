import {
  formatDoneEvent,
  formatErrorEvent,
  formatTokenEvent,
  problem,
  usageOf,
} from '@arrakis/contracts';
import { describe, expect, it } from 'vitest';
import type { FinnBody, FinnBodySink } from './finn-attempt.ts';
import { PassthroughEncoder } from './passthrough-encoder.ts';
import { relayStream, type ClientStream } from './stream-relay.ts';

const FAILED = problem({ code: 'inference_failed', requestId: 'r' });
const DONE = formatDoneEvent(usageOf(1, 2), 'stop');

/** Both ends of a relay, moved by hand. */
function setUp() {
  const log: string[] = [];
  const writes: string[] = [];
  const progress: number[] = [];
  const leaving = new AbortController();
  const state = { keepsUp: true, nowMs: 0 };
  let sink: FinnBodySink | undefined;
  let drain = (): void => undefined;
  const body: FinnBody = {
    read: (given) => (sink = given),
    pause: () => log.push('pause'),
    resume: () => log.push('resume'),
    abort: () => log.push('abort'),
  };
  const client: ClientStream = {
    signal: leaving.signal,
    begin: () => log.push('begin'),
    write(data) {
      writes.push(data.toString());
      return state.keepsUp;
    },
    onDrain: (resume) => (drain = resume),
    end: () => log.push('end'),
  };
  const end = relayStream({
    body,
    client,
    encoder: new PassthroughEncoder(),
    onBegin: () => undefined,
    onProgress: (tokens) => progress.push(tokens),
    notePeriodMs: 2_000,
    nowMs: () => state.nowMs,
    problem: () => FAILED,
  });
  const send = (text: string): void => sink?.onData(Buffer.from(text));
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    end,
    log,
    writes,
    progress,
    state,
    send,
    turn,
    sink: () => sink!,
    leave: () => leaving.abort(),
    drain: () => drain(),
  };
}

describe('a relay', () => {
  it('joins what arrives in one turn into one write', async () => {
    const relay = setUp();
    const events = ['a', 'b', 'c'].map((text, index) => formatTokenEvent(text, index + 1));
    for (const event of events) relay.send(event);
    await relay.turn();
    expect(relay.writes).toEqual([events.join('')]);
  });

  it('sends nothing before the first event is whole', async () => {
    const relay = setUp();
    const event = formatTokenEvent('a', 1);
    relay.send(event.slice(0, -1));
    await relay.turn();
    expect(relay.log).toEqual([]);
    relay.send('\n');
    await relay.turn();
    expect(relay.log).toEqual(['begin']);
    expect(relay.writes).toEqual([event]);
  });

  it('writes the end at once, and passes nothing on after it', async () => {
    const relay = setUp();
    relay.send(formatTokenEvent('a', 2));
    relay.send(DONE);
    expect(relay.log).toEqual(['begin', 'end']);
    relay.send(formatTokenEvent('b', 3));
    await relay.turn();
    expect(relay.writes).toEqual([formatTokenEvent('a', 2) + DONE]);
    expect(await relay.end).toMatchObject({ kind: 'done', tokens: 2, finishReason: 'stop' });
    expect(relay.progress).toEqual([]);
  });

  it('slows finn down while the client is behind', async () => {
    const relay = setUp();
    relay.state.keepsUp = false;
    relay.send(formatTokenEvent('a', 1));
    await relay.turn();
    expect(relay.log).toEqual(['begin', 'pause']);
    relay.drain();
    expect(relay.log).toEqual(['begin', 'pause', 'resume']);
  });

  it('notes progress at the first token, and then once in a while', async () => {
    const relay = setUp();
    for (const [nowMs, tokens] of [
      [0, 1],
      [10, 2],
      [1_999, 3],
      [2_000, 4],
      [2_001, 5],
    ] as const) {
      relay.state.nowMs = nowMs;
      relay.send(formatTokenEvent('x', tokens));
      await relay.turn();
    }
    expect(relay.progress).toEqual([1, 4]);
  });

  it('counts what was handed on, not what came in, when the client leaves', async () => {
    const relay = setUp();
    relay.send(formatTokenEvent('a', 1));
    await relay.turn();
    relay.send(formatTokenEvent('b', 2));
    relay.leave();
    expect(await relay.end).toEqual({ kind: 'client_gone', began: true, tokens: 1 });
    expect(relay.log).toContain('abort');
    await relay.turn();
    expect(relay.writes).toHaveLength(1);
  });

  it('never begins for a client that has left', async () => {
    const relay = setUp();
    relay.leave();
    expect(await relay.end).toEqual({ kind: 'client_gone', began: false, tokens: 0 });
  });

  it('drops half an event when finn breaks off, and says so instead', async () => {
    const relay = setUp();
    relay.send(`${formatTokenEvent('a', 1)}id: 2\ndata: {"ty`);
    relay.sink().onError('cut');
    expect(relay.writes).toEqual([formatTokenEvent('a', 1) + formatErrorEvent(FAILED)]);
    expect(await relay.end).toMatchObject({
      kind: 'failed',
      began: true,
      reason: 'cut',
      tokens: 1,
    });
  });

  it('waits for the count in the trailer after finn’s error, but not with the client', async () => {
    const relay = setUp();
    relay.send(formatTokenEvent('a', 1) + formatErrorEvent(FAILED));
    expect(relay.log).toEqual(['begin', 'end']);
    relay.leave();
    relay.sink().onEnd(1);
    expect(await relay.end).toMatchObject({ reason: 'error_event', tokenCount: 1 });
  });

  it('leaves an error before the first token to be answered by a status', async () => {
    const relay = setUp();
    relay.send(formatErrorEvent(FAILED));
    expect(await relay.end).toMatchObject({ kind: 'failed', began: false });
    expect(relay.log).toEqual([]);
    expect(relay.writes).toEqual([]);
  });

  it.each([
    '{"type":"done"}',
    '{"type":"done","usage":{"prompt_tokens":-1,"completion_tokens":1,"total_tokens":0},"finish_reason":"stop"}',
    '{"type":"done",',
  ])('does not settle by %s', async (data) => {
    const relay = setUp();
    relay.send(`${formatTokenEvent('a', 1)}data: ${data}\n\n`);
    relay.sink().onEnd(undefined);
    expect(await relay.end).toMatchObject({ kind: 'failed', began: true });
  });
});
