import type { Queryable } from '@arrakis/postgres';
import { mintLot } from '../../services/freeside/src/features/ledger/lot.service.ts';

/** The demo community that a fresh installation starts with. Everything here is fiction. */

/** Five dollars, as one lot. */
export const DEMO_CREDITS_MICRO = 5_000_000n;

export const DEMO = {
  slug: 'demo',
  name: 'Sietch Demo',
  tier: 'enterprise',
  member: { name: 'Demo Developer', role: 'developer' },
  wallet: { chainId: 1, address: '0x00000000000000000000000000000000000de305' },
  creditsRef: 'seed:demo:first-credits',
} as const;

interface DemoAgent {
  readonly nftId: string;
  readonly slug: string;
  readonly tier: 'standard' | 'enterprise';
  readonly metadata: {
    readonly name: string;
    readonly description: string;
    readonly attributes: readonly { readonly trait_type: string; readonly value: string }[];
  };
  readonly emphasis: readonly string[];
}

const CONTRACT = '0x00000000000000000000000000000000000a11ce';

/** Two of different tiers, so that they answer from different pools, and of different character. */
export const DEMO_AGENTS: readonly [DemoAgent, ...DemoAgent[]] = [
  {
    nftId: `1:${CONTRACT}:1`,
    slug: 'dune-sage',
    tier: 'enterprise',
    metadata: {
      name: 'Dune Sage',
      description: 'An old desert teacher who answers in calm images.',
      attributes: [
        { trait_type: 'Archetype', value: 'Sage' },
        { trait_type: 'Temper', value: 'Calm' },
        { trait_type: 'Origin', value: 'The deep desert' },
        { trait_type: 'Speech', value: 'Short images of sand and water' },
      ],
    },
    emphasis: ['patience', 'long-term thinking', 'kindness to newcomers'],
  },
  {
    nftId: `1:${CONTRACT}:2`,
    slug: 'market-scout',
    tier: 'standard',
    metadata: {
      name: 'Market Scout',
      description: 'A quick trader who talks in prices and odds.',
      attributes: [
        { trait_type: 'Archetype', value: 'Trader' },
        { trait_type: 'Temper', value: 'Bold and playful' },
        { trait_type: 'Origin', value: 'The spice exchange' },
        { trait_type: 'Speech', value: 'Brisk, with numbers' },
      ],
    },
    emphasis: ['speed', 'risk', 'plain figures'],
  },
];

export interface SeededDemo {
  readonly communityId: string;
  readonly memberId: string;
  /** False when the credits had been minted before. */
  readonly minted: boolean;
}

/**
 * Makes the demo community complete; running it again changes nothing and mints nothing. To be
 * called inside a transaction, as the role that owns the tables.
 */
export async function seedDemo(tx: Queryable): Promise<SeededDemo> {
  const communityId = await seedCommunity(tx);
  const memberId = await seedMember(tx, communityId);
  for (const agent of DEMO_AGENTS) await seedAgent(tx, communityId, agent);
  const { minted } = await mintLot(tx, {
    communityId,
    amountMicro: DEMO_CREDITS_MICRO,
    source: 'seed',
    sourceRef: DEMO.creditsRef,
    expiresAt: null,
  });
  return { communityId, memberId, minted };
}

async function seedCommunity(tx: Queryable): Promise<string> {
  // The lock makes two seeds at once wait for each other.
  await tx.query("SELECT pg_advisory_xact_lock(hashtextextended('arrakis seed', 0))");
  await tx.query(
    `INSERT INTO freeside.communities (slug, name, tier) VALUES ($1, $2, $3)
     ON CONFLICT (slug) DO NOTHING`,
    [DEMO.slug, DEMO.name, DEMO.tier],
  );
  return onlyId(await tx.query('SELECT id FROM freeside.communities WHERE slug = $1', [DEMO.slug]));
}

async function seedMember(tx: Queryable, communityId: string): Promise<string> {
  const { name, role } = DEMO.member;
  const found = await tx.query<{ id: string }>(
    `SELECT id FROM freeside.community_members
      WHERE community_id = $1 AND display_name = $2 ORDER BY created_at, id LIMIT 1`,
    [communityId, name],
  );
  const memberId =
    found.rows[0]?.id ??
    onlyId(
      await tx.query(
        `INSERT INTO freeside.community_members (community_id, display_name, role)
         VALUES ($1, $2, $3) RETURNING id`,
        [communityId, name, role],
      ),
    );
  await tx.query(
    `INSERT INTO freeside.member_wallets (member_id, chain_id, address) VALUES ($1, $2, $3)
     ON CONFLICT DO NOTHING`,
    [memberId, DEMO.wallet.chainId, DEMO.wallet.address],
  );
  return memberId;
}

/** An agent that is there already is left as it is: somebody may have edited it. */
async function seedAgent(tx: Queryable, communityId: string, agent: DemoAgent): Promise<void> {
  await tx.query(
    `INSERT INTO freeside.nfts (id, community_id, slug, tier) VALUES ($1, $2, $3, $4)
     ON CONFLICT (id) DO NOTHING`,
    [agent.nftId, communityId, agent.slug, agent.tier],
  );
  await tx.query(
    `INSERT INTO freeside.nft_metadata (nft_id, metadata) VALUES ($1, $2)
     ON CONFLICT (nft_id) DO NOTHING`,
    [agent.nftId, JSON.stringify(agent.metadata)],
  );
  await tx.query(
    `INSERT INTO freeside.personality_configs (nft_id, emphasis) VALUES ($1, $2)
     ON CONFLICT (nft_id) DO NOTHING`,
    [agent.nftId, agent.emphasis],
  );
}

function onlyId(result: { rows: { id?: unknown }[] }): string {
  const id = result.rows[0]?.id;
  if (typeof id !== 'string') throw new Error('the seed found no row where one must be');
  return id;
}
