import { describe, expect, it } from 'vitest';
import { formatRecord, missingFrom, readRecord } from './schema-record.ts';

const NAMES = ['001_create_schema', '002_create_communities'];

describe('the note about the schema', () => {
  it('says what it was told', () => {
    expect([...readRecord(formatRecord(NAMES))]).toEqual(NAMES);
  });

  it.each(['', 'standard public schema', 'arrakis migrations:'])('holds nothing in %j', (text) => {
    expect(missingFrom(readRecord(text), NAMES)).toEqual(NAMES);
  });

  it('misses what has not run, and minds no newer one', () => {
    const ran = readRecord(formatRecord([...NAMES, '099_newer']));
    expect(missingFrom(ran, NAMES)).toEqual([]);
    expect(missingFrom(ran, [...NAMES, '003_create_nfts'])).toEqual(['003_create_nfts']);
  });
});
