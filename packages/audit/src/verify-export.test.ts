import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GENESIS_HASH } from './line.domain.ts';
import { linkHash } from './link-hash.ts';
import {
  COMMUNITIES,
  TrailWriter,
  hold,
  inChunks,
  mint,
  newSigner,
  smallTrail,
} from './test-support/make-trail.ts';
import { verifyExport, type VerifyOptions } from './verify-export.ts';

const [ONE, TWO] = COMMUNITIES;

const verify = (lines: readonly string[], options?: VerifyOptions) =>
  verifyExport(inChunks(lines), options);

async function brokenBy(lines: readonly string[], options?: VerifyOptions) {
  const { broken } = await verify(lines, options);
  return broken && { line: broken.line, code: broken.code };
}

/** Every hash anew from that line on: what somebody does who knows the format and has no key. */
function rechained(lines: readonly string[]): string[] {
  let previous = GENESIS_HASH;
  return lines.map((line, index) => {
    if (index === 0) return line;
    const [open = '', rest = ''] = line.split(',"hash":"');
    previous = linkHash(previous, `${open}}`);
    return `${open},"hash":"${previous}${rest.slice(64)}`;
  });
}

function replaced(lines: readonly string[], line: number, from: string, to: string): string[] {
  expect(lines[line - 1]).toContain(from);
  return lines.map((text, index) => (index === line - 1 ? text.replace(from, to) : text));
}

describe('an intact trail', () => {
  it('is verified, with its head and balances', async () => {
    const trail = smallTrail();
    const { broken, summary, lines } = await verify(trail.all());
    expect(broken).toBeUndefined();
    expect(lines).toBe(9);
    expect(summary).toMatchObject({ head: trail.head, records: 6, checkpoints: 2, signed: 0 });
  });

  it('may be empty', async () => {
    expect((await verify(new TrailWriter().all())).broken).toBeUndefined();
  });

  it('may begin in the middle, and learns the balances on its way', async () => {
    const trail = smallTrail();
    const [, , , fourth = ''] = trail.lines;
    const hash = /"hash":"([0-9a-f]{64})"/.exec(fourth)?.[1] ?? '';
    trail.entry(mint(ONE, 1n));
    trail.checkpoint();
    const rest = trail.all({ sequence: 4n, hash });
    expect((await verify(rest)).broken).toBeUndefined();
    const at = (noted: bigint, hash: string) => ({ anchors: [{ sequence: noted, hash }] });
    expect(await brokenBy(rest, at(4n, hash))).toBeUndefined();
    expect(await brokenBy(rest, at(4n, GENESIS_HASH))).toEqual({ line: 1, code: 'anchor' });
    expect(await brokenBy(rest, at(3n, hash))).toEqual({ line: 1, code: 'anchor' });
    const lying = new TrailWriter();
    lying.entry(mint(ONE, 5n));
    lying.checkpoint();
    lying.checkpoint({ balances: [{ community: ONE, accounts: { available: 5n, minted: -5n } }] });
    lying.entry(mint(ONE, 1n));
    const wrong = { community: ONE, accounts: { available: 7n, minted: -7n } };
    lying.checkpoint({ balances: [wrong] });
    const secondHash = /"hash":"([0-9a-f]{64})"/.exec(lying.lines[1] ?? '')?.[1] ?? '';
    expect(await brokenBy(lying.all({ sequence: 2n, hash: secondHash }))).toEqual({
      line: 4,
      code: 'balance',
    });
  });

  it('counts checkpoints over books that did not balance', async () => {
    const trail = smallTrail();
    const conservation = { depth: 'quick', violations: 2n, driftMicro: 12n };
    trail.entry(mint(ONE, 1n));
    trail.checkpoint({ conservation });
    expect((await verify(trail.all())).summary).toMatchObject({
      unbalanced: 1,
      firstUnbalanced: 10n,
    });
  });
});

describe('the first wrong line is named', () => {
  const lines = smallTrail().all();

  it.each([
    ['an amount', 3, '"amount_micro":"40"', '"amount_micro":"41"', 'hash'],
    ['a time', 4, '12:00:00.000001', '12:00:00.000002', 'hash'],
    ['a community', 4, TWO, ONE, 'hash'],
    ['an account', 6, '"to":"spent"', '"to":"expired"', 'hash'],
    ['a hash', 6, '"hash":"', '"hash":"f00', 'malformed'],
    ['a checkpoint', 5, '"available":"60"', '"available":"61"', 'hash'],
    ['white space', 3, '{"type"', '{ "type"', 'malformed'],
    ['a member twice', 3, '"kind":', '"kind":"mint","kind":', 'malformed'],
    ['a number for a string', 3, '"amount_micro":"40"', '"amount_micro":40', 'malformed'],
    ['a leading zero', 3, '"amount_micro":"40"', '"amount_micro":"040"', 'malformed'],
    ['a letter beyond ASCII', 3, '"kind":"hold"', '"kind":"h\u00f6ld"', 'malformed'],
    ['a line feed of another system', 3, '"}', '"}\r', 'malformed'],
    ['an unknown member', 5, ',"balances"', ',"note":"x","balances"', 'malformed'],
    [
      'a checkpoint in another order',
      5,
      /"at":"[^"]*","first":"1"/.exec(lines[4] ?? '')?.[0] ?? '',
      '"first":"1","at":"2026-11-22T12:00:00.000001Z"',
      'malformed',
    ],
    ['the header', 1, '"last":"8"', '"last":"08"', 'malformed'],
    ['what the header goes on from', 1, '"previous":"0', '"previous":"1', 'malformed'],
  ] as const)('when %s was changed', async (_, line, from, to, code) => {
    expect(await brokenBy(replaced(lines, line, from, to))).toEqual({ line, code });
  });

  it.each([2, 3, 4, 5, 6, 8])('when line %d was removed', async (line) => {
    expect(await brokenBy(lines.toSpliced(line - 1, 1))).toEqual({ line, code: 'sequence' });
  });

  it.each([
    [2, 3],
    [3, 4],
    [4, 6],
    [5, 9],
  ])('when lines %d and %d changed places', async (a, b) => {
    const swapped = lines.with(a - 1, lines[b - 1]!).with(b - 1, lines[a - 1]!);
    expect(await brokenBy(swapped)).toEqual({ line: a, code: 'sequence' });
  });

  it.each([2, 5, 9])('when line %d is there twice', async (line) => {
    const added = lines.toSpliced(line, 0, lines[line - 1]!);
    expect(await brokenBy(added)).toEqual({ line: line + 1, code: 'sequence' });
  });

  it('when a record was added at the end', async () => {
    const longer = smallTrail();
    longer.entry(mint(ONE, 1_000_000n));
    const added = [...lines, longer.lines.at(-1)!];
    expect(await brokenBy(added)).toEqual({ line: 10, code: 'sequence' });
    const named = replaced(added, 1, '"last":"8"', '"last":"9"');
    expect(await brokenBy(named)).toEqual({ line: 11, code: 'truncated' });
  });

  it.each([0, 1, 2, 4, 5, 6, 8])('when only the first %d lines are left', async (kept) => {
    const code = 'truncated';
    expect(await brokenBy(lines.slice(0, kept))).toEqual({ line: kept + 1, code });
  });

  it('when the end was cut off together with the header that named it, by a head noted before', async () => {
    const { head } = smallTrail();
    const cut = replaced(lines.slice(0, 5), 1, '"last":"8"', '"last":"4"');
    expect(await brokenBy(cut)).toBeUndefined();
    expect(await brokenBy(cut, { anchors: [head] })).toEqual({ line: 6, code: 'truncated' });
  });

  it('when all hashes were made anew, by a head noted before', async () => {
    const forged = rechained(replaced(lines, 3, '"kind":"hold"', '"kind":"mold"'));
    expect(await brokenBy(forged)).toBeUndefined();
    const { head } = smallTrail();
    expect(await brokenBy(forged, { anchors: [head] })).toEqual({ line: 9, code: 'anchor' });
  });

  it('when all hashes were made anew and the balances no longer fit', async () => {
    const forged = rechained(replaced(lines, 3, '"amount_micro":"40"', '"amount_micro":"41"'));
    expect(await brokenBy(forged)).toEqual({ line: 5, code: 'balance' });
  });

  it('when an account would go below zero', async () => {
    const trail = new TrailWriter();
    trail.entry(mint(ONE, 10n));
    trail.entry(hold(ONE, 11n));
    trail.checkpoint();
    expect(await brokenBy(trail.all())).toEqual({ line: 3, code: 'books' });
  });

  it('when an entry comes twice under a new sequence', async () => {
    const trail = new TrailWriter();
    trail.entry(mint(ONE, 10n));
    trail.entry(mint(ONE, 10n), { id: 1n });
    trail.checkpoint();
    expect(await brokenBy(trail.all())).toEqual({ line: 3, code: 'books' });
  });

  it('when an adjustment comes twice under a new sequence', async () => {
    const trail = new TrailWriter();
    trail.entry(mint(ONE, 10n));
    trail.adjustment(ONE, -3n);
    trail.adjustment(ONE, -3n, { id: 2n });
    trail.checkpoint();
    expect(await brokenBy(trail.all())).toEqual({ line: 4, code: 'books' });
  });

  it('when a checkpoint leaves out a community of its batch', async () => {
    const trail = new TrailWriter();
    trail.entry(mint(ONE, 10n));
    trail.entry(mint(TWO, 7n));
    trail.checkpoint({
      balances: [{ community: ONE, accounts: { available: 10n, minted: -10n } }],
    });
    expect(await brokenBy(trail.all())).toEqual({ line: 4, code: 'balance' });
  });

  it('or nothing is, and it says what no checkpoint has confirmed yet', async () => {
    const trail = new TrailWriter();
    trail.entry(mint(ONE, 10n));
    trail.checkpoint({ balances: [] });
    expect((await verify(trail.all())).summary?.uncompared).toEqual({ communities: 1, since: 1n });
    trail.entry(mint(TWO, 7n));
    trail.checkpoint();
    const { broken, summary } = await verify(trail.all());
    expect([broken, summary?.uncompared]).toEqual([undefined, undefined]);
  });

  it('when two heads were noted for one place', async () => {
    const { head } = smallTrail();
    const other = { sequence: head.sequence, hash: GENESIS_HASH };
    for (const anchors of [
      [head, other],
      [other, head],
    ]) {
      expect(await brokenBy(lines, { anchors })).toEqual({ line: 9, code: 'anchor' });
    }
  });

  it('when a batch claims records of another', async () => {
    const trail = smallTrail();
    trail.entry(mint(ONE, 1n));
    trail.checkpoint({ first: 8n });
    expect(await brokenBy(trail.all())).toEqual({ line: 11, code: 'sequence' });
  });
});

describe('signatures', () => {
  const signer = newSigner();
  const keys = [signer.key];
  const lines = smallTrail(signer).all();

  it('are checked when a key is given', async () => {
    const { broken, summary } = await verify(lines, { keys, requireSignature: true });
    expect(broken).toBeUndefined();
    expect(summary?.lastSigned).toEqual({ sequence: 8n, kid: signer.key.kid });
  });

  it('by another key are no signatures', async () => {
    const other = [newSigner().key];
    expect(await brokenBy(lines, { keys: other })).toEqual({ line: 5, code: 'signature' });
  });

  it('do not move to a trail that was made anew', async () => {
    const forged = rechained(replaced(lines, 3, '"kind":"hold"', '"kind":"mold"'));
    expect(await brokenBy(forged, { keys })).toEqual({ line: 5, code: 'signature' });
  });

  it('do not move from one checkpoint to another', async () => {
    const of = (line: string) => /"signature":"([^"]+)"/.exec(line)?.[1] ?? '';
    const moved = replaced(lines, 9, of(lines[8]!), of(lines[4]!));
    expect(await brokenBy(moved, { keys })).toEqual({ line: 9, code: 'signature' });
  });

  it('may be required', async () => {
    const unsigned = smallTrail().all();
    expect(await brokenBy(unsigned, { keys, requireSignature: true })).toEqual({
      line: 10,
      code: 'signature',
    });
    const longer = smallTrail(signer);
    longer.entry(mint(ONE, 1n));
    longer.checkpoint();
    const rest = { from: `"kid":"${signer.key.kid}"`, to: '"kid":null' };
    const last = replaced(longer.all(), 11, rest.from, rest.to).map((line, index) =>
      index === 10 ? line.replace(/"signature":"[^"]+"/, '"signature":null') : line,
    );
    expect(await brokenBy(last, { keys })).toBeUndefined();
    expect((await verify(last, { keys })).summary?.lastSigned?.sequence).toBe(8n);
    expect(await brokenBy(last, { keys, requireSignature: true })).toEqual({
      line: 12,
      code: 'signature',
    });
  });

  it('that were all taken out are missed once a key is given', async () => {
    const forged = rechained(replaced(smallTrail().all(), 3, '"kind":"hold"', '"kind":"mold"'));
    expect(await brokenBy(forged, { keys })).toEqual({ line: 10, code: 'signature' });
    expect(await brokenBy(new TrailWriter().all(), { keys })).toBeUndefined();
  });

  it('have one way to be written', async () => {
    const [given = ''] = /"signature":"[^"]+"/.exec(lines[8]!) ?? [];
    const at = given.length - 2;
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const next = letters[letters.indexOf(given[at]!) + 1]!;
    const same = given.slice(0, at) + next + given.slice(at + 1);
    expect(await brokenBy(replaced(lines, 9, given, same), { keys })).toEqual({
      line: 9,
      code: 'signature',
    });
  });
});

describe('any history', () => {
  const moves = fc.array(
    fc.record({
      community: fc.constantFrom(...COMMUNITIES),
      amountMicro: fc.bigInt({ min: 1n, max: 2n ** 58n }),
      closes: fc.boolean(),
    }),
    { minLength: 1, maxLength: 20 },
  );
  const trailOf = (history: typeof moves extends fc.Arbitrary<infer T> ? T : never) => {
    const trail = new TrailWriter();
    for (const { community, amountMicro, closes } of history) {
      trail.entry({ community, kind: 'write_off', from: 'absorbed', to: 'minted', amountMicro });
      if (closes) trail.checkpoint();
    }
    trail.entry(mint(ONE, 1n));
    trail.checkpoint();
    return trail.all();
  };

  it('is intact as it was written', async () => {
    await fc.assert(
      fc.asyncProperty(moves, async (history) => {
        expect((await verify(trailOf(history))).broken).toBeUndefined();
      }),
    );
  });

  it('names the line of any byte that was changed', async () => {
    await fc.assert(
      fc.asyncProperty(
        moves,
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 32, max: 126 }),
        async (history, a, b, code) => {
          const lines = trailOf(history);
          const index = 1 + (a % (lines.length - 1));
          // What follows the hash, a signature or its absence, is not part of the chain.
          const covered = lines[index]!.split(',"kid":')[0]!;
          const at = b % covered.length;
          const byte = String.fromCharCode(code);
          fc.pre(covered[at] !== byte);
          const changed = lines[index]!.slice(0, at) + byte + lines[index]!.slice(at + 1);
          expect((await brokenBy(lines.with(index, changed)))?.line).toBe(index + 1);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('names the place where lines were taken out, put in or turned round', async () => {
    await fc.assert(
      fc.asyncProperty(moves, fc.nat(), fc.nat(), async (history, a, b) => {
        const lines = trailOf(history);
        const from = 1 + (a % (lines.length - 1));
        const to = from + 1 + (b % (lines.length - from));
        const part = lines.slice(from, to);
        const removed = [...lines.slice(0, from), ...lines.slice(to)];
        expect((await brokenBy(removed))?.line).toBe(from + 1);
        const repeated = [...lines.slice(0, to), ...part, ...lines.slice(to)];
        expect((await brokenBy(repeated))?.line).toBe(to + 1);
        fc.pre(part.length > 1);
        const turned = [...lines.slice(0, from), ...part.toReversed(), ...lines.slice(to)];
        expect((await brokenBy(turned))?.line).toBe(from + 1);
      }),
    );
  });
});
