import { describe, expect, test } from 'vitest';
import {
  ackLine,
  endLine,
  eventLine,
  parseLine,
  progressLine,
  replay,
  startLine,
  type Replay,
} from './journal.domain.ts';
import { meterStart } from './test-support/meter-start.ts';
import { finalEvent, recoveredEvent } from './usage-event.domain.ts';

const now = new Date('2026-11-22T10:00:00Z');
const start = meterStart();
const id = start.reservationId;
const event = finalEvent(start, { promptTokens: 12, completionTokens: 5, latencyMs: 33.4 }, now);

const replayed = (streams: string, events = ''): Replay =>
  replay([{ segment: 1, text: streams }], [{ segment: 7, text: events }]);

describe('a line', () => {
  test('is read as it was written', () => {
    expect(parseLine(startLine(start, 3).trimEnd())).toEqual({ s: start, k: 3 });
    expect(parseLine(progressLine(id, 4).trimEnd())).toEqual({ p: id, k: 4 });
    expect(parseLine(endLine(id).trimEnd())).toEqual({ x: id });
    expect(parseLine(eventLine(event).trimEnd())).toEqual({ e: event });
    expect(parseLine(ackLine(id).trimEnd())).toEqual({ a: id });
  });

  test.each(['', '{"p":"x"', '{"p":"x","k":-1}', '{"e":{}}', 'null', '\u0000\u0000'])(
    'that was torn is nothing: %j',
    (text) => {
      expect(parseLine(text)).toBeUndefined();
    },
  );
});

test('the trace of an answer is kept with its start and its event', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const traced = { ...start, traceparent };
  expect(parseLine(startLine(traced, 3).trimEnd())).toEqual({ s: traced, k: 3 });
  const left = replayed(startLine(traced, 0), eventLine(event, traceparent));
  expect([...left.events.values()]).toEqual([{ event, traceparent, segment: 7 }]);
});

describe('what a dead process left', () => {
  test('is an unfinished stream with the largest count it proved', () => {
    const { unfinished } = replayed(
      startLine(start, 0) + progressLine(id, 9) + progressLine(id, 4),
    );
    expect(unfinished).toEqual([{ start, completionTokens: 9 }]);
  });

  test('is nothing for a stream that was abandoned, or whose event was acknowledged', () => {
    expect(replayed(startLine(start, 0) + endLine(id)).unfinished).toEqual([]);
    const left = replayed(startLine(start, 0), eventLine(event) + ackLine(id));
    expect(left.unfinished).toEqual([]);
    expect(left.events.size).toBe(0);
  });

  test('is the event as it was, when only the end of its stream is missing', () => {
    const left = replayed(startLine(start, 0) + progressLine(id, 4), eventLine(event));
    expect(left.unfinished).toEqual([]);
    expect([...left.events.values()]).toEqual([{ event, segment: 7 }]);
  });

  test('is a second attempt under the same reservation after the first was abandoned', () => {
    const lines = startLine(start, 0) + endLine(id) + startLine(start, 0) + progressLine(id, 2);
    expect(replayed(lines).unfinished).toEqual([{ start, completionTokens: 2 }]);
  });

  test('loses only the torn line, at the end or in the middle', () => {
    const torn = startLine(start, 0) + progressLine(id, 2) + '{"p":"' + '\n' + progressLine(id, 5);
    const left = replayed(`${torn}{"p":"${id}","k":9`);
    expect(left.unfinished).toEqual([{ start, completionTokens: 5 }]);
    expect(left.tornLines).toBe(2);
  });
});

describe('a usage event', () => {
  test('counts prompt and completion together', () => {
    expect(event).toMatchObject({ tokens_used: 17, finality: 'final', latency_ms: 33 });
  });

  test('of a cut stream charges the prompt only where something was delivered', () => {
    expect(recoveredEvent(start, 4, now)).toMatchObject({
      prompt_tokens: 12,
      completion_tokens: 4,
      tokens_used: 16,
      finality: 'recovered',
    });
    expect(recoveredEvent(start, 0, now)).toMatchObject({ prompt_tokens: 0, tokens_used: 0 });
  });
});
