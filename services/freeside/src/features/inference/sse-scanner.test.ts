import { formatDoneEvent, formatTokenEvent, usageOf } from '@arrakis/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SseOverflowError, SseScanner } from './sse-scanner.ts';

/** Scans `bytes` cut at `cuts`; returns the events and the bytes handed on. */
function scan(bytes: Buffer, cuts: readonly number[]) {
  const events: { id: number | undefined; data: string }[] = [];
  const scanner = new SseScanner(({ id, data }) => events.push({ id, data: data.toString() }));
  const passed: Buffer[] = [];
  const ends = [...new Set(cuts)].sort((a, b) => a - b);
  let start = 0;
  for (const end of [...ends, bytes.length]) {
    passed.push(Buffer.from(scanner.push(bytes.subarray(start, end))));
    start = end;
  }
  return { events, passed: Buffer.concat(passed) };
}

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('\n\n', '\r\n\r\n', 'data: x', 'id: 9\n', '漢字', '\u2028', '"}'),
);

describe('the event scanner', () => {
  it('finds the same events and hands on the same bytes however the stream is cut', () => {
    const cut = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.array(text), fc.array(cut), (tokens, fractions) => {
        const stream = Buffer.from(
          tokens.map((token, index) => formatTokenEvent(token, index + 1)).join('') +
            formatDoneEvent(usageOf(1, tokens.length), 'stop'),
        );
        const cuts = fractions.map((fraction) => Math.floor(fraction * stream.length));
        const { events, passed } = scan(stream, cuts);
        expect(passed.equals(stream)).toBe(true);
        expect(events.slice(0, -1).map(({ data }) => JSON.parse(data) as unknown)).toEqual(
          tokens.map((content) => ({ type: 'token', content })),
        );
        expect(events.slice(0, -1).map(({ id }) => id)).toEqual(tokens.map((_, i) => i + 1));
        expect(events.at(-1)?.data).toContain('"type":"done"');
      }),
    );
  });

  it('reads lines that end with CRLF, cut between the two', () => {
    const stream = Buffer.from('id: 1\r\ndata: a\r\n\r\ndata: b\r\n\r\n');
    for (let at = 0; at < stream.length; at += 1) {
      expect(scan(stream, [at])).toEqual({
        events: [
          { id: 1, data: 'a' },
          { id: undefined, data: 'b' },
        ],
        passed: stream,
      });
    }
  });

  it('joins the lines of one event, and passes comments on without an event', () => {
    const stream = Buffer.from(': ping\n\ndata: a\ndata:b\n\nevent: x\n\n');
    expect(scan(stream, [])).toEqual({ events: [{ id: undefined, data: 'a\nb' }], passed: stream });
  });

  it('keeps back what is no complete event', () => {
    const { events, passed } = scan(Buffer.from('data: a\n\ndata: b\n'), []);
    expect(events).toHaveLength(1);
    expect(passed.toString()).toBe('data: a\n\n');
  });

  it.each(['-1', '1.5', '٣', '1234567890123456', ''])('does not take %j for a count', (id) => {
    const { events } = scan(Buffer.from(`id: ${id}\ndata: a\n\n`), []);
    expect(events).toEqual([{ id: undefined, data: 'a' }]);
  });

  it('refuses an event without end', () => {
    const scanner = new SseScanner(() => undefined);
    const chunk = Buffer.alloc(512 * 1024, 'x');
    expect(() => {
      for (let i = 0; i < 4; i += 1) scanner.push(chunk);
    }).toThrow(SseOverflowError);
  });
});
