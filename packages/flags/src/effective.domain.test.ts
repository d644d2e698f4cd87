import { FLAG_DEFAULTS } from '@arrakis/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Statement } from './document.domain.ts';
import {
  NOTHING_TOLD,
  changedFlags,
  decide,
  effectSeconds,
  type Effective,
  type Sources,
} from './effective.domain.ts';

const OFF = { ...FLAG_DEFAULTS, FEATURE_API_KEYS_ENABLED: false };
const kvAt = (changedAtMs: number, values: Statement['values'] = FLAG_DEFAULTS): Statement => ({
  values,
  changedAtMs,
  revision: `r${changedAtMs}`,
});
const fileAt = (changedAtMs: number, values: Statement['values'] = OFF): Statement => ({
  values,
  changedAtMs,
});
const NONE: Sources = { kv: undefined, isKvLive: false, file: undefined };

/** The outcome of one source after another. */
function history(...steps: readonly Partial<Sources>[]): Effective {
  return steps.reduce<Effective>(
    (previous, step) => decide(previous, { ...NONE, ...step }),
    NOTHING_TOLD,
  );
}

describe('whose word holds', () => {
  it.each<[string, Partial<Sources>, Effective['source'], boolean]>([
    ['nobody says anything: the defaults', {}, 'default', true],
    ['only files: they', { file: fileAt(10) }, 'file', false],
    ['only the bucket: it', { kv: kvAt(10, OFF), isKvLive: true }, 'kv', false],
    [
      'the bucket answers: it, however new files are',
      { kv: kvAt(10), isKvLive: true, file: fileAt(99) },
      'kv',
      true,
    ],
    [
      'the bucket is away, files are newer: they',
      { kv: kvAt(10), file: fileAt(11) },
      'file',
      false,
    ],
    [
      'the bucket is away, files are older: what it said',
      { kv: kvAt(10), file: fileAt(9) },
      'kv',
      true,
    ],
    [
      'the bucket is away, files are as old: what it said',
      { kv: kvAt(10), file: fileAt(10) },
      'kv',
      true,
    ],
    ['the bucket is away, no files: what it said', { kv: kvAt(10, OFF) }, 'kv', false],
    [
      'the bucket answers but never said anything usable: files',
      { isKvLive: true, file: fileAt(1) },
      'file',
      false,
    ],
  ])('%s', (_what, sources, source, apiKeys) => {
    const effective = history(sources);
    expect([effective.source, effective.values.FEATURE_API_KEYS_ENABLED]).toEqual([
      source,
      apiKeys,
    ]);
  });

  it('stays when everything goes away', () => {
    expect(history({ file: fileAt(1) }, {})).toMatchObject({ source: 'file', values: OFF });
    expect(history({ kv: kvAt(1, OFF), isKvLive: true }, { kv: kvAt(1, OFF) })).toMatchObject({
      source: 'kv',
      values: OFF,
    });
  });

  it('is the files’ until the bucket says something new, not when it comes back with old news', () => {
    const outage = [
      { kv: kvAt(10), isKvLive: true },
      { kv: kvAt(10), file: fileAt(20) },
      { kv: kvAt(10), isKvLive: true, file: fileAt(20) },
    ];
    expect(history(...outage)).toMatchObject({ source: 'file', values: OFF });
    // Away again, back again: still old news.
    const again = [{ kv: kvAt(10), file: fileAt(20) }, outage[2]!];
    expect(history(...outage, ...again)).toMatchObject({ source: 'file', values: OFF });
    const news = { kv: kvAt(15), isKvLive: true, file: fileAt(20) };
    expect(history(...outage, news)).toMatchObject({ source: 'kv', values: FLAG_DEFAULTS });
    expect(history(...outage, news)).not.toHaveProperty('overruled');
  });

  it('is the bucket’s again after an outage in which the files said the same', () => {
    const agreeing = fileAt(20, FLAG_DEFAULTS);
    const away = { kv: kvAt(10), file: agreeing };
    expect(history({ kv: kvAt(10), isKvLive: true }, away).source).toBe('file');
    const back = history({ kv: kvAt(10), isKvLive: true }, away, { ...away, isKvLive: true });
    expect(back.source).toBe('kv');
  });

  it('is the bucket’s at its first word, though files were there before', () => {
    const files = { file: fileAt(20) };
    expect(history(files, { ...files, kv: kvAt(10), isKvLive: true }).source).toBe('kv');
  });

  it('says nothing of a flag that it does not name', () => {
    const part = { FEATURE_WEB_CHAT_ENABLED: false };
    const effective = history(
      { kv: kvAt(1, OFF), isKvLive: true },
      { kv: kvAt(2, part), isKvLive: true },
    );
    expect(effective.values).toEqual({ ...OFF, ...part });
  });

  it('does not depend on files at all while the bucket keeps answering', () => {
    const value = fc.record({ FEATURE_API_KEYS_ENABLED: fc.boolean() });
    const statement = fc.record({ changedAtMs: fc.nat(50), values: value });
    fc.assert(
      fc.property(
        fc.array(fc.record({ kv: statement, file: fc.option(statement, { nil: undefined }) })),
        (steps) => {
          const live = steps.map(({ kv, file }, index) => ({
            kv: { ...kv, revision: String(index) },
            isKvLive: true,
            file,
          }));
          const blind = live.map((step) => ({ ...step, file: undefined }));
          expect(history(...live).values).toEqual(history(...blind).values);
        },
      ),
    );
  });
});

describe('a change', () => {
  it('names the flags that differ', () => {
    expect(changedFlags(FLAG_DEFAULTS, OFF)).toEqual(['FEATURE_API_KEYS_ENABLED']);
    expect(changedFlags(OFF, OFF)).toEqual([]);
  });

  it.each([
    ['seconds from what was said to its effect', 1_500, 2_000, 0.5],
    ['0 when the clock of who said it is ahead', 2_500, 2_000, 0],
    ['nothing when it was said before the process began', 999, 2_000, undefined],
  ])('took %s', (_what, changedAtMs, nowMs, seconds) => {
    expect(effectSeconds(kvAt(changedAtMs), nowMs, 1_000)).toBe(seconds);
  });
});
