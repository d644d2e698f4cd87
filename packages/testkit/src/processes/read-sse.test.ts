import { describe, expect, it } from 'vitest';
import { collectSse, SseFormatError } from './read-sse.ts';

async function* pieces(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    await Promise.resolve();
    yield typeof part === 'string' ? new TextEncoder().encode(part) : part;
  }
}

describe('readSse', () => {
  it('reads id, event and data', async () => {
    const events = await collectSse(pieces('id: 7\nevent: token\ndata: {"a":1}\n\n'));
    expect(events).toEqual([{ id: '7', event: 'token', data: '{"a":1}' }]);
  });

  it('does not care where the bytes are cut, not even inside a character', async () => {
    const bytes = new TextEncoder().encode('data: ü€😀\r\n\r\ndata: two\n\n');
    const single = [...bytes].map((byte) => Uint8Array.of(byte));
    expect(await collectSse(pieces(...single))).toEqual([{ data: 'ü€😀' }, { data: 'two' }]);
  });

  it('takes LF, CR and CRLF as line ends, skips comments, and joins lines of data', async () => {
    const text = ': ping\r\rdata: a\rdata: b\r\r: x\n\ndata\n\n';
    expect(await collectSse(pieces(text))).toEqual([{ data: 'a\nb' }, { data: '' }]);
  });

  it('keeps blanks after the first', async () => {
    expect(await collectSse(pieces('data:  a \n\n'))).toEqual([{ data: ' a ' }]);
  });

  it.each([
    ['an unescaped carriage return in the data', 'data: a\rb\n\n'],
    ['an unknown field', 'dota: a\n\n'],
    ['an event without data', 'id: 1\n\n'],
    ['a stream cut inside a line', 'data: a\n\ndata: b'],
    ['a stream cut before the blank line', 'data: a\n'],
  ])('refuses %s', async (_what, text) => {
    await expect(collectSse(pieces(text))).rejects.toThrow(SseFormatError);
  });

  it('refuses invalid UTF-8, also a character cut off at the end', async () => {
    await expect(collectSse(pieces(Uint8Array.of(0x64, 0xff)))).rejects.toThrow(SseFormatError);
    await expect(collectSse(pieces('data: a\n\n', Uint8Array.of(0xe2)))).rejects.toThrow(
      SseFormatError,
    );
  });
});
