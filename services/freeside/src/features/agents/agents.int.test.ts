import { createPool } from '@arrakis/postgres';
import type { Pool as PoolName, Tier } from '@arrakis/contracts';
import { createTestDatabase, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { insertCommunity, type TestCommunity } from '../api-keys/test-support/community.ts';
import { watched } from '../api-keys/test-support/watched.ts';
import { AGENT_TTL_MS, AgentService } from './service.ts';

const CONTRACT = '0xabcdef0123456789abcdef0123456789abcdef01';

let database: TestDatabase;
let pool: Pool;
let ours: TestCommunity;
let theirs: TestCommunity;
let nowMs: number;
let queries: number;
let agents: AgentService;
let tokenId = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({
    url: database.appUrl,
    max: 4,
    applicationName: 'test',
    onError: () => undefined,
  });
  ours = await insertCommunity(pool, { slug: 'ours' });
  theirs = await insertCommunity(pool, { slug: 'theirs' });
});

beforeEach(() => {
  nowMs = 0;
  queries = 0;
  agents = new AgentService({
    db: watched(pool, () => (queries += 1)),
    monotonicMs: () => nowMs,
  });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

async function insertNft(
  community: TestCommunity,
  slug: string,
  more: { tier?: Tier; metadata?: object; preferredPool?: PoolName } = {},
): Promise<string> {
  tokenId += 1;
  const nftId = `1:${CONTRACT}:${tokenId}`;
  await pool.query(
    'INSERT INTO freeside.nfts (id, community_id, slug, tier) VALUES ($1, $2, $3, $4)',
    [nftId, community.communityId, slug, more.tier ?? 'standard'],
  );
  if (more.metadata !== undefined) {
    await pool.query('INSERT INTO freeside.nft_metadata (nft_id, metadata) VALUES ($1, $2)', [
      nftId,
      more.metadata,
    ]);
  }
  if (more.preferredPool !== undefined) {
    await pool.query(
      'INSERT INTO freeside.personality_configs (nft_id, preferred_pool) VALUES ($1, $2)',
      [nftId, more.preferredPool],
    );
  }
  return nftId;
}

describe('finding an agent', () => {
  it('works by slug and by NFT id, with the contract in any case', async () => {
    const nftId = await insertNft(ours, 'muad-dib', {
      tier: 'pro',
      metadata: { name: 'Muad’Dib', attributes: [] },
      preferredPool: 'reasoning',
    });
    const bySlug = await agents.findAgent(ours.communityId, 'muad-dib');
    expect(bySlug).toMatchObject({
      nftId,
      communityId: ours.communityId,
      slug: 'muad-dib',
      name: 'Muad’Dib',
      tier: 'pro',
      preferredPool: 'reasoning',
    });
    expect(bySlug?.createdAt).toBeInstanceOf(Date);
    expect(await agents.findAgent(ours.communityId, nftId)).toEqual(bySlug);
    const shouted = nftId.replace(CONTRACT, `0x${CONTRACT.slice(2).toUpperCase()}`);
    expect(await agents.findAgent(ours.communityId, shouted)).toEqual(bySlug);
  });

  it.each([
    ['no metadata', undefined],
    ['no name', {}],
    ['an empty name', { name: '  ' }],
    ['null as a name', { name: null }],
  ])('falls back to the slug with %s', async (what, metadata) => {
    const slug = `plain-${what.replaceAll(' ', '-')}`;
    await insertNft(ours, slug, metadata === undefined ? {} : { metadata });
    expect(await agents.findAgent(ours.communityId, slug)).toMatchObject({
      name: slug,
      preferredPool: undefined,
    });
  });

  it('bounds what a name may be', async () => {
    await insertNft(ours, 'long', { metadata: { name: 'x'.repeat(10_000) } });
    expect((await agents.findAgent(ours.communityId, 'long'))?.name).toHaveLength(120);
  });

  it('never finds an agent of another community, by slug or id', async () => {
    const nftId = await insertNft(theirs, 'feyd');
    expect(await agents.findAgent(ours.communityId, 'feyd')).toBeUndefined();
    expect(await agents.findAgent(ours.communityId, nftId)).toBeUndefined();
    expect(await agents.findAgent(theirs.communityId, nftId)).toBeDefined();
  });

  it('keeps two communities apart that use the same slug', async () => {
    const [here, there] = [await insertNft(ours, 'twin'), await insertNft(theirs, 'twin')];
    expect((await agents.findAgent(ours.communityId, 'twin'))?.nftId).toBe(here);
    expect((await agents.findAgent(theirs.communityId, 'twin'))?.nftId).toBe(there);
  });

  it('asks the database once for many callers and then not for a while, found or not', async () => {
    await insertNft(ours, 'cached');
    const find = () => agents.findAgent(ours.communityId, 'cached');
    await Promise.all(Array.from({ length: 20 }, find));
    await agents.findAgent(ours.communityId, 'absent');
    await agents.findAgent(ours.communityId, 'absent');
    expect(queries).toBe(2);
  });

  it('loses an agent that was switched off once the cache has forgotten it', async () => {
    const nftId = await insertNft(ours, 'retired');
    expect(await agents.findAgent(ours.communityId, 'retired')).toBeDefined();
    await pool.query('UPDATE freeside.nfts SET is_active = false WHERE id = $1', [nftId]);
    nowMs = AGENT_TTL_MS;
    expect(await agents.findAgent(ours.communityId, 'retired')).toBeUndefined();
    expect(await agents.findAgent(ours.communityId, nftId)).toBeUndefined();
    const listed = await agents.listAgents(ours.communityId);
    expect(listed.map((agent) => agent.slug)).not.toContain('retired');
  });

  it.each(['', 'Upper', "x' OR '1'='1", 'a\0b', '\ud800', '1:0xabc:1', 'a'.repeat(10_000)])(
    'asks nobody about what cannot be an agent (case %#)',
    async (ref) => {
      expect(await agents.findAgent(ours.communityId, ref)).toBeUndefined();
      expect(queries).toBe(0);
    },
  );
});

describe('listing agents', () => {
  it('names the active ones of that community only, by slug', async () => {
    const community = await insertCommunity(pool, { slug: 'listing' });
    for (const slug of ['stilgar', 'chani', 'alia']) await insertNft(community, slug);
    const listed = await agents.listAgents(community.communityId);
    expect(listed.map((agent) => agent.slug)).toEqual(['alia', 'chani', 'stilgar']);
    await agents.listAgents(community.communityId);
    expect(queries).toBe(1);
  });
});
