import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkpointKey, readCheckpointKey, signingInput } from './checkpoint-signature.ts';
import {
  checkpointBody,
  checkpointLine,
  headerLine,
  recordBody,
  recordLine,
  type AuditRecord,
  type Checkpoint,
} from './line.domain.ts';
import { linkHash } from './link-hash.ts';
import { parseHeader, parseLink } from './parse-line.domain.ts';
import { readLines } from './read-lines.ts';

const HASH = 'ab'.repeat(32);
const positive = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });
const word = fc.stringMatching(/^[a-z_]{1,40}$/);
const uuid = fc.uuid();
const at = fc
  .date({ min: new Date(0), max: new Date('9999-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString().replace('Z', '789Z'));
const base = { sequence: positive, id: positive, at, community: uuid, kind: word };
const entry = fc.record({
  ...base,
  source: fc.constant('entry' as const),
  from: fc.constant('available'),
  to: word.filter((kind) => kind !== 'available'),
  amountMicro: positive,
  reservation: fc.option(uuid),
  lot: fc.option(uuid),
});
const adjustment = fc.record({
  ...base,
  source: fc.constant('adjustment' as const),
  from: fc.constant(null),
  to: fc.constant(null),
  amountMicro: fc.oneof(
    positive,
    positive.map((amount) => -amount),
  ),
  reservation: fc.option(uuid),
  lot: fc.option(uuid),
});
const record: fc.Arbitrary<AuditRecord> = fc.oneof(entry, adjustment);
const checkpoint: fc.Arbitrary<Checkpoint> = fc.record({
  sequence: positive,
  at,
  first: positive,
  conservation: fc.record({
    depth: fc.constant('quick'),
    violations: fc.bigInt({ min: 0n, max: 99n }),
    driftMicro: fc.bigInt({ min: 0n, max: 2n ** 100n }),
  }),
  balances: fc.array(
    fc.record({
      community: uuid,
      accounts: fc.dictionary(word, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
    }),
    { maxLength: 3 },
  ),
});

describe('a line', () => {
  it('of a record is read as it was written', () => {
    fc.assert(
      fc.property(record, (value) => {
        const body = recordBody(value);
        expect(parseLink(recordLine(body, HASH))).toEqual({
          link: { type: 'record', value },
          body,
          hash: HASH,
        });
        // Any reader of JSON can read it too.
        expect(JSON.parse(body)).toMatchObject({ amount_micro: value.amountMicro.toString() });
      }),
    );
  });

  it('of a checkpoint is read as it was written', () => {
    fc.assert(
      fc.property(checkpoint, (value) => {
        const body = checkpointBody(value);
        const signature = { kid: 'k1', value: 'A'.repeat(86) };
        expect(parseLink(checkpointLine(body, HASH, signature))).toEqual({
          link: { type: 'checkpoint', value, signature },
          body,
          hash: HASH,
        });
      }),
    );
  });

  it('of a header is read as it was written', () => {
    const header = { after: 0n, last: 12n, previous: HASH, exportedAt: '2026-11-22T12:00:00.000Z' };
    expect(parseHeader(headerLine(header))).toEqual(header);
  });

  it('has a body and a hash that stay as they are', () => {
    // What sealed trails hold can't be written anew: this form is pinned.
    const body = recordBody({
      sequence: 7n,
      source: 'entry',
      id: 9n,
      at: '2026-11-22T12:00:00.123456Z',
      community: '0c000000-0000-4000-8000-000000000001',
      kind: 'hold',
      from: 'available',
      to: 'held',
      amountMicro: 750n,
      reservation: '0e000000-0000-4000-8000-000000000001',
      lot: null,
    });
    expect(body).toBe(
      '{"type":"record","sequence":"7","source":"entry","id":"9","at":"2026-11-22T12:00:00.123456Z","community":"0c000000-0000-4000-8000-000000000001","kind":"hold","from":"available","to":"held","amount_micro":"750","reservation":"0e000000-0000-4000-8000-000000000001","lot":null}',
    );
    expect(linkHash('00'.repeat(32), body)).toBe(
      '544a3457bc9b0b7139ae3667a00ac1950d8b62fe3f8b2cf3e48ec389ef5d0768',
    );
  });

  it.each([
    ['an entry to itself', { from: 'held', to: 'held' }],
    ['an entry of nothing', { amountMicro: 0n }],
    ['an entry below zero', { amountMicro: -1n }],
    ['an entry without an account', { from: null }],
    ['an adjustment with accounts', { source: 'adjustment' as const }],
  ])('with %s is none', (_, change) => {
    const [value] = fc.sample(entry, 1);
    expect(parseLink(recordLine(recordBody({ ...value!, ...change }), HASH))).toBeUndefined();
  });
});

describe('lines of a file', () => {
  it('are the same however it comes in pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.stringMatching(/^[ -~]{0,20}$/), { maxLength: 9 }),
        fc.integer({ min: 1, max: 30 }),
        async (lines, size) => {
          const text = lines.map((line) => `${line}\n`).join('');
          const read: string[] = [];
          for await (const some of readLines(pieces(text, size))) read.push(...some);
          expect(read).toEqual(lines);
        },
      ),
    );
  });

  async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    for (let at = 0; at < text.length; at += size) yield Buffer.from(text.slice(at, at + size));
  }
});

describe('a key', () => {
  it('signs a text that stays as it is', () => {
    expect(signingInput(7n, HASH).toString()).toBe(`arrakis audit checkpoint\n7\n${HASH}`);
  });

  it('is read from PEM and from JWK under the same name', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const kid = checkpointKey(publicKey)?.kid;
    expect(kid).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString();
    const jwk = JSON.stringify(publicKey.export({ format: 'jwk' }));
    const secret = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    for (const text of [pem, jwk, secret]) {
      const key = readCheckpointKey(text);
      expect(key?.kid).toBe(kid);
      expect(key?.publicKey.type).toBe('public');
    }
  });

  it('of another kind is none', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const text = publicKey.export({ format: 'pem', type: 'spki' }).toString();
    for (const none of [text, '', '{}', 'hello']) expect(readCheckpointKey(none)).toBeUndefined();
  });
});
