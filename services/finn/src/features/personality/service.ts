import { createHash } from 'node:crypto';
import { isUnavailable, type Queryable } from '@arrakis/postgres';
import { BoundedCache } from './bounded-cache.ts';
import { RENDERER_VERSION, renderPersonality, sourceOf } from './personality.domain.ts';
import { findAgent } from './store.ts';

export interface Personality {
  /** Changes whenever the text does, or the way in which it is made. */
  readonly id: string;
  readonly systemPrompt: string;
}

interface KnownAgent {
  readonly communityId: string;
  readonly personality: Personality;
}

const TTL_MS = 30_000;
/** A personality of five minutes ago is better than none, and the money is not finn's. */
const STALE_MS = 5 * 60_000;
const PATIENCE_MS = 300;
const MAX_AGENTS = 10_000;
const ID_LENGTH = 16;

/** Who an NFT is, to its own community. */
export class PersonalityService {
  readonly #db: Queryable;
  readonly #agents: BoundedCache<KnownAgent | undefined>;

  constructor(db: Queryable, nowMs: () => number) {
    this.#db = db;
    this.#agents = new BoundedCache({
      ...{ ttlMs: TTL_MS, staleMs: STALE_MS, patienceMs: PATIENCE_MS, maxEntries: MAX_AGENTS },
      ...{ isPassing: isUnavailable, nowMs },
    });
  }

  /**
   * `undefined` when there is no such agent, or it is another community's: the caller can't tell
   * which. @throws when the database can't be asked, and could not be for five minutes
   */
  async resolve(nftId: string, communityId: string): Promise<Personality | undefined> {
    const agent = await this.#agents.get(nftId, (key) => this.#look(key));
    return agent?.communityId === communityId ? agent.personality : undefined;
  }

  async #look(nftId: string): Promise<KnownAgent | undefined> {
    const row = await findAgent(this.#db, nftId);
    if (row === undefined) return undefined;
    const systemPrompt = renderPersonality(sourceOf(row.metadata, row.emphasis, row.slug));
    return {
      communityId: row.communityId,
      personality: { id: personalityId(systemPrompt), systemPrompt },
    };
  }
}

function personalityId(systemPrompt: string): string {
  return createHash('sha256')
    .update(`${RENDERER_VERSION}\n${systemPrompt}`)
    .digest('hex')
    .slice(0, ID_LENGTH);
}
