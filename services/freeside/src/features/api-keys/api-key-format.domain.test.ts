import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  environmentOf,
  formatApiKey,
  generateApiKey,
  isKeyPrefix,
  parseApiKey,
  parseAuthorization,
  type ApiKeyEnvironment,
} from './api-key-format.domain.ts';

const environment = fc.constantFrom<ApiKeyEnvironment>('live', 'test');
const text = (alphabet: string, length: number) =>
  fc
    .array(fc.constantFrom(...Array.from(alphabet)), { minLength: length, maxLength: length })
    .map((characters) => characters.join(''));
const key = fc
  .record({
    environment,
    name: text('abcdefghijklmnopqrstuvwxyz234567', 12),
    secret: text('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', 32),
  })
  .map(({ environment, name, secret }) => ({
    environment,
    keyPrefix: `lf_${environment}_${name}`,
    secret,
  }));

const GOOD = `lf_live_abcdefgh2345_${'aZ09'.repeat(8)}`;

describe('an API key', () => {
  it('survives being written and read', () => {
    fc.assert(
      fc.property(key, (written) => {
        expect(parseApiKey(formatApiKey(written))).toEqual(written);
        expect(environmentOf(written.keyPrefix)).toBe(written.environment);
        expect(isKeyPrefix(written.keyPrefix)).toBe(true);
      }),
    );
  });

  it('is no key any more once one character is missing, added or foreign', () => {
    fc.assert(
      fc.property(
        key,
        fc.nat(52),
        fc.constantFrom(...Array.from(' _-.\n\0é/+=')),
        (written, at, foreign) => {
          const whole = formatApiKey(written);
          const spoilt = [
            whole.slice(0, at) + whole.slice(at + 1),
            whole.slice(0, at) + foreign + whole.slice(at),
          ];
          if (whole[at] !== foreign)
            spoilt.push(whole.slice(0, at) + foreign + whole.slice(at + 1));
          for (const broken of spoilt) expect(parseApiKey(broken)).toBeUndefined();
        },
      ),
    );
  });

  it.each([
    ['an upper-case name', GOOD.replace('abcdefgh', 'ABCDEFGH')],
    ['a digit that base32 lacks', GOOD.replace('2345', '0189')],
    ['another environment', GOOD.replace('live', 'prod')],
    ['upper-case lf', GOOD.replace('lf_', 'LF_')],
    ['a trailing newline', `${GOOD}\n`],
    ['leading white space', ` ${GOOD}`],
    ['nothing', ''],
    ['only the prefix', GOOD.slice(0, 20)],
  ])('is refused with %s', (_, broken) => {
    expect(parseApiKey(broken)).toBeUndefined();
  });

  it('never parses arbitrary text into something else than it was', () => {
    fc.assert(
      fc.property(fc.string(), (anything) => {
        const parsed = parseApiKey(anything);
        if (parsed !== undefined) expect(formatApiKey(parsed)).toBe(anything);
      }),
    );
  });
});

describe('a generated key', () => {
  it('is well formed and different every time', () => {
    const keys = Array.from({ length: 500 }, () => generateApiKey('test', randomBytes));
    for (const generated of keys) expect(parseApiKey(formatApiKey(generated))).toEqual(generated);
    expect(new Set(keys.map((generated) => generated.secret)).size).toBe(keys.length);
    expect(new Set(keys.map((generated) => generated.keyPrefix)).size).toBe(keys.length);
  });

  it('has secrets whose characters are equally likely', () => {
    const counts = new Map<string, number>();
    const keys = 4000;
    for (let made = 0; made < keys; made += 1) {
      for (const character of generateApiKey('live', randomBytes).secret) {
        counts.set(character, (counts.get(character) ?? 0) + 1);
      }
    }
    const expected = (keys * 32) / 62;
    expect(counts.size).toBe(62);
    // 61 degrees of freedom: chance exceeds 150 once in a billion runs; folding bytes gives 800.
    const chiSquare = [...counts.values()].reduce(
      (sum, count) => sum + (count - expected) ** 2 / expected,
      0,
    );
    expect(chiSquare).toBeLessThan(150);
  });

  it('never takes a byte from 248 on, which would favour the first eight characters', () => {
    const secretBytes = [...Array<number>(32).fill(255), ...Array<number>(32).fill(61)];
    const queue = [...Array<number>(12).fill(0), ...secretBytes];
    const generated = generateApiKey('live', (count) => Uint8Array.from(queue.splice(0, count)));
    expect(generated.secret).toBe('z'.repeat(32));
  });
});

describe('an Authorization header', () => {
  it.each(['Bearer', 'bearer', 'BEARER', 'bEaReR'])('is read with the scheme %s', (scheme) => {
    expect(parseAuthorization(`${scheme} ${GOOD}`)).toEqual({
      kind: 'key',
      key: parseApiKey(GOOD),
    });
  });

  it('may have several spaces after the scheme, as RFC 9110 allows', () => {
    expect(parseAuthorization(`Bearer   ${GOOD}`).kind).toBe('key');
  });

  it.each([undefined, ''])('is absent when it is %j', (header) => {
    expect(parseAuthorization(header)).toEqual({ kind: 'absent' });
  });

  it.each([
    GOOD,
    `Basic ${GOOD}`,
    `Bearer${GOOD}`,
    `Bearer ${GOOD} `,
    `Bearer ${GOOD}, Bearer ${GOOD}`,
    `Bearer\t${GOOD}`,
    `Bearer "${GOOD}"`,
    'Bearer',
    'Bearer ',
    'Bearer sk-somebody-elses-key',
    `Bearer ${' '.repeat(300)}${GOOD}`,
    `Bearer ${'a'.repeat(100_000)}`,
  ])('is malformed otherwise (case %#)', (header) => {
    expect(parseAuthorization(header)).toEqual({ kind: 'malformed' });
  });
});
