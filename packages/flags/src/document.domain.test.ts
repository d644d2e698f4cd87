import { FLAG_DEFAULTS, FLAG_NAMES } from '@arrakis/contracts';
import { describe, expect, it } from 'vitest';
import { readDirectory, readDocument, readTexts, writeDocument } from './document.domain.ts';

const OFF = { ...FLAG_DEFAULTS, FEATURE_API_KEYS_ENABLED: false };
const said = { flags: OFF, revision: '4711', changedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6) };
const document = JSON.parse(writeDocument(said)) as Record<string, unknown>;
const change = (more: object): string => JSON.stringify({ ...document, ...more });

describe('the document of the bucket', () => {
  it('is read as it was written', () => {
    expect(readDocument(writeDocument(said))).toEqual({
      values: OFF,
      revision: '4711',
      changedAtMs: said.changedAtMs,
    });
    expect(document).toMatchObject({ version: 1, changedAt: '2026-01-02T03:04:05.006Z' });
  });

  it('may come from a release that knows more flags, or fewer', () => {
    const more = change({ note: 'x', flags: { ...OFF, FEATURE_NEW_ENABLED: 'later' } });
    expect(readDocument(more)?.values).toEqual(OFF);
    const fewer = change({ flags: { FEATURE_API_KEYS_ENABLED: false } });
    expect(readDocument(fewer)?.values).toEqual({ FEATURE_API_KEYS_ENABLED: false });
  });

  it.each([
    ['no JSON', '{"version":1,'],
    ['empty', ''],
    ['no object', 'true'],
    ['null', 'null'],
    ['another version', change({ version: 2 })],
    [
      'a value that is no boolean',
      change({ flags: { ...OFF, FEATURE_API_KEYS_ENABLED: 'false' } }),
    ],
    ['a value that is null', change({ flags: { ...OFF, FEATURE_API_KEYS_ENABLED: null } })],
    ['no flags', change({ flags: undefined })],
    ['no revision', change({ revision: '' })],
    ['no time', change({ changedAt: undefined })],
    ['a time without a zone', change({ changedAt: '2026-01-02T03:04:05' })],
    ['a day that does not exist', change({ changedAt: '2026-13-42T03:04:05Z' })],
    ['too long', change({ note: 'x'.repeat(20_000) })],
  ])('is not believed when it is %s', (_what, text) => {
    expect(readDocument(text)).toBeUndefined();
  });
});

describe('flags as texts', () => {
  it('are exactly true or false', () => {
    expect(
      readTexts({ FEATURE_API_KEYS_ENABLED: 'false', FEATURE_WEB_CHAT_ENABLED: 'true' }),
    ).toEqual({
      values: { FEATURE_API_KEYS_ENABLED: false, FEATURE_WEB_CHAT_ENABLED: true },
      refused: {},
    });
  });

  it.each(['', 'True', 'FALSE', 'off', '0', '1', 'no', ' true', 'false\n', '"true"', 'null'])(
    'are not %j, whose neighbours count nevertheless',
    (text) => {
      const { values, refused } = readTexts({
        FEATURE_API_KEYS_ENABLED: text,
        FEATURE_WEB_CHAT_ENABLED: 'false',
      });
      expect(values).toEqual({ FEATURE_WEB_CHAT_ENABLED: false });
      expect(refused).toEqual({ FEATURE_API_KEYS_ENABLED: 'neither true nor false' });
    },
  );

  it('that are mistyped are told, other data of the map is not ours', () => {
    const { values, refused } = readTexts({
      FEATURE_API_KEY_ENABLED: 'false',
      'README.md': 'hello',
    });
    expect(values).toEqual({});
    expect(refused).toEqual({ FEATURE_API_KEY_ENABLED: 'there is no such flag' });
  });

  it('are on unless somebody says otherwise', () => {
    expect(FLAG_NAMES.map((name) => FLAG_DEFAULTS[name])).toEqual([true, true, true]);
  });
});

describe('a directory of flags', () => {
  const told = { values: OFF, revision: '7', changedAtMs: 500 };
  const texts = (values: object) => ({ values, refused: {} });

  it('was said when its document says, whenever the files were written', () => {
    expect(readDirectory(texts(OFF), told, 100)).toEqual(told);
    expect(readDirectory(texts(OFF), told, 900)).toEqual(told);
  });

  it('keeps to the document where a flag is bad or missing', () => {
    expect(readDirectory(texts({ FEATURE_WEB_CHAT_ENABLED: true }), told, 100)).toEqual(told);
    expect(readDirectory(texts({}), told, -Infinity)).toEqual(told);
  });

  it('was said when it was written as long as the document says anything else, or there is none', () => {
    const values = { FEATURE_API_KEYS_ENABLED: true };
    const byTime = { values, changedAtMs: 900 };
    expect(readDirectory(texts(values), told, 900)).toEqual(byTime);
    expect(readDirectory(texts(values), undefined, 900)).toEqual(byTime);
    const partial = { ...told, values: {} };
    expect(readDirectory(texts(values), partial, 900)).toEqual(byTime);
  });

  it('says nothing when it holds nothing usable', () => {
    expect(readDirectory(texts({}), undefined, -Infinity)).toBeUndefined();
  });
});
