import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonTextError, canonicalText, parseJsonText } from './json-text.domain.ts';

const canonical = (text: string): string => canonicalText(parseJsonText(text));

function sortDeep(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortDeep);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([name, one]) => [name, sortDeep(one)]);
}

/** Names that JavaScript doesn't reorder or hide, as everywhere in the vendor's messages. */
const name = fc
  .string({ unit: 'grapheme', maxLength: 8 })
  .filter((text) => text !== '__proto__' && !/^\d+$/.test(text) && !text.includes('\0'));
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((one) => !Object.is(one, -0)),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(name, tie('tree'), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

describe('the canonical text', () => {
  it('is the same JSON with every object sorted, whatever blanks and order it came in', () => {
    fc.assert(
      fc.property(tree, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = canonical(JSON.stringify(value, null, indent));
        expect(JSON.stringify(sortDeep(JSON.parse(text)))).toBe(JSON.stringify(sortDeep(value)));
        expect(canonical(text)).toBe(text);
      }),
    );
  });

  it.each([
    ['{"b":1,"a":2}', '{"a":2,"b":1}'],
    [
      '{"fee":{"b":{"z":1,"y":[{"d":1,"c":2}]},"a":0.10}}',
      '{"fee":{"a":0.10,"b":{"y":[{"c":2,"d":1}],"z":1}}}',
    ],
    ['[3,1,2]', '[3,1,2]'],
    [' { "a" : 1.50 , "b" : 1E-7 } ', '{"a":1.50,"b":1E-7}'],
    [
      '{"a":12345678901234567890.12345678901234567890}',
      '{"a":12345678901234567890.12345678901234567890}',
    ],
    ['{"B":1,"a":1,"é":1,"A":1}', '{"A":1,"B":1,"a":1,"é":1}'],
    ['{"a":"\\u00e9\\/"}', '{"a":"é/"}'],
    ['{"a":"𝒳"}', '{"a":"𝒳"}'],
  ])('of %s is %s', (text, expected) => {
    expect(canonical(text)).toBe(expected);
  });
});

describe('a JSON text', () => {
  it('is read where JSON.parse reads one, and nowhere else', () => {
    const mutated = fc
      .tuple(tree, fc.nat(), fc.constantFrom('', ',', '"', '{', ']', '0', '\\', ' ', 'e', '\u0000'))
      .map(([value, at, piece]) => {
        const text = JSON.stringify(value);
        const place = at % (text.length + 1);
        return text.slice(0, place) + piece + text.slice(place + (at % 2));
      });
    fc.assert(
      fc.property(mutated, (text) => {
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        try {
          parseJsonText(text);
        } catch (error) {
          expect(error).toBeInstanceOf(JsonTextError);
          // The stricter refusals are about valid JSON.
          if (/twice|__proto__|surrogate|NUL/.test((error as Error).message)) return;
          expect(valid, text).toBe(false);
          return;
        }
        expect(valid, text).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['{"a":1,"a":1}', 'twice'],
    ['{"a":1,"\\u0061":2}', 'twice'],
    ['{"x":{"a":1,"b":2,"a":3}}', 'twice'],
    ['{"__proto__":{"payment_status":"finished"}}', '__proto__'],
    ['{"\\u005f_proto__":1}', '__proto__'],
    ['{"a":"\\ud800"}', 'surrogate'],
    ['{"a":"\\u0000"}', 'NUL'],
    ['['.repeat(18) + ']'.repeat(18), 'deeper'],
    [`[${'1,'.repeat(1_000)}1]`, 'values'],
    ['', 'no value'],
    ['\ufeff{}', 'no value'],
    ['{"a":01}', 'no "}"'],
    ['{"a":+1}', 'no value'],
    ['{"a":NaN}', 'no value'],
    ["{'a':1}", 'string'],
    ['{"a":1,}', 'string'],
    ['{} {}', 'after'],
    ['{"a":"\n"}', 'string'],
  ])('is not %j', (text, why) => {
    expect(() => parseJsonText(text)).toThrow(why);
  });
});
