import { describe, expect, test } from 'vitest';
import { ProtobufReader } from './protobuf-reader.ts';

const read = (...bytes: readonly number[]): ProtobufReader =>
  new ProtobufReader(Buffer.from(bytes));

describe('a protobuf message', () => {
  test('gives its fields by number, repeated ones in order', () => {
    // 1: 150; 2: "testing"; 2: "again"; 3: 1.0 as a double; 4: fixed32
    const message = read(
      ...[0x08, 0x96, 0x01],
      ...[0x12, 0x07, ...Buffer.from('testing')],
      ...[0x12, 0x05, ...Buffer.from('again')],
      ...[0x19, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
      ...[0x25, 1, 0, 0, 0],
    );
    expect(message.number(1)).toBe(150n);
    expect(message.messages(2).map(String)).toEqual(['testing', 'again']);
    expect(message.text(2)).toBe('again');
    expect(message.double(3)).toBe(1);
    expect(message.number(4)).toBe(1n);
  });

  test('says nothing of what it does not hold', () => {
    const empty = read();
    expect(empty.has(1)).toBe(false);
    expect([empty.number(1), empty.text(1), empty.messages(1)]).toEqual([0n, '', []]);
  });

  test.each([
    ['a length beyond its end', [0x12, 0x07, 0x74]],
    ['a number that does not end', [0x08, 0x96]],
    ['a wire type that there is none of', [0x0f]],
  ])('with %s is refused', (_what, bytes) => {
    expect(() => read(...bytes)).toThrow();
  });
});
