import { createPool, isUnavailable } from '@arrakis/postgres';
import { createTestDatabase, startTcpRelay, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findAgent } from './store.ts';

const COMMUNITY = '00000000-0000-7000-8000-000000000001';
const nft = (tokenId: number) => `1:0x${'a'.repeat(40)}:${tokenId}`;
const open = (url: string): Pool =>
  createPool({ url, max: 1, applicationName: 'test', onError: () => undefined });

let database: TestDatabase;
let finn: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  const admin = open(database.adminUrl);
  await admin.query(
    `INSERT INTO freeside.communities (id, slug, name, tier) VALUES ($1, 'c', 'C', 'free')`,
    [COMMUNITY],
  );
  await admin.query(
    `INSERT INTO freeside.nfts (id, community_id, slug, tier, is_active)
     VALUES ($1, $4, 'full', 'free', true), ($2, $4, 'bare', 'free', true),
            ($3, $4, 'gone', 'free', false)`,
    [nft(1), nft(2), nft(3), COMMUNITY],
  );
  await admin.query(`INSERT INTO freeside.nft_metadata (nft_id, metadata) VALUES ($1, $2)`, [
    nft(1),
    JSON.stringify({ name: 'Full' }),
  ]);
  await admin.query(`INSERT INTO freeside.personality_configs (nft_id, emphasis) VALUES ($1, $2)`, [
    nft(1),
    ['first', 'second'],
  ]);
  await admin.end();
  finn = open(database.finnUrl);
});
afterAll(async () => {
  await finn.end();
  await database.drop();
});

test('finn’s own role reads what makes an agent', async () => {
  expect(await findAgent(finn, nft(1))).toEqual({
    communityId: COMMUNITY,
    slug: 'full',
    metadata: { name: 'Full' },
    emphasis: ['first', 'second'],
  });
});

test('an agent without metadata and configuration is one nevertheless', async () => {
  expect(await findAgent(finn, nft(2))).toMatchObject({ metadata: null, emphasis: [] });
});

test('an NFT that is unknown or switched off is none', async () => {
  expect(await findAgent(finn, nft(3))).toBeUndefined();
  expect(await findAgent(finn, nft(4))).toBeUndefined();
});

test('a database behind a silent network is unavailable soon, and asked anew after that', async () => {
  const url = new URL(database.finnUrl);
  const relay = await startTcpRelay({ targetPort: Number(url.port) });
  url.host = `127.0.0.1:${relay.port}`;
  const pool = open(url.href);
  try {
    await findAgent(pool, 'nobody');
    relay.strand();
    const failure: unknown = await findAgent(pool, 'nobody').catch((error: unknown) => error);
    expect(isUnavailable(failure)).toBe(true);
    expect(await findAgent(pool, 'nobody')).toBeUndefined();
  } finally {
    await relay.close();
    await pool.end();
  }
});
