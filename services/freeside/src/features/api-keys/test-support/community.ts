import { randomBytes } from 'node:crypto';
import type { Queryable } from '@arrakis/postgres';
import type { Tier } from '@arrakis/contracts';
import { parsePeppers, type Peppers } from '../pepper.domain.ts';

export const ALL_ON = { isEnabled: () => true };

export interface TestCommunity {
  readonly communityId: string;
  readonly slug: string;
  readonly userId: string;
  readonly userName: string;
}

/** A community with one member, as the services' own role may make it. */
export async function insertCommunity(
  db: Queryable,
  options: { readonly slug: string; readonly tier?: Tier; readonly userName?: string },
): Promise<TestCommunity> {
  const { slug, tier = 'pro', userName = 'Chani' } = options;
  const community = await db.query<{ id: string }>(
    'INSERT INTO freeside.communities (slug, name, tier) VALUES ($1, $1, $2) RETURNING id',
    [slug, tier],
  );
  const communityId = community.rows[0]?.id ?? '';
  const userId = await insertMember(db, communityId, userName);
  return { communityId, slug, userId, userName };
}

export async function insertMember(
  db: Queryable,
  communityId: string,
  userName: string,
): Promise<string> {
  const member = await db.query<{ id: string }>(
    `INSERT INTO freeside.community_members (community_id, display_name)
     VALUES ($1, $2) RETURNING id`,
    [communityId, userName],
  );
  return member.rows[0]?.id ?? '';
}

export function randomPepperText(version = 1): string {
  return `${version}:${randomBytes(32).toString('base64')}`;
}

export function randomPeppers(): Peppers {
  return parsePeppers(randomPepperText());
}
