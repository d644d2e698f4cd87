import type { Queryable } from '@arrakis/postgres';
import { parseAgentRef, type Agent } from './agent.domain.ts';
import { findAgent, listAgents } from './store.ts';
import { TtlCache } from './ttl-cache.ts';

export interface AgentServiceOptions {
  readonly db: Queryable;
  /** Monotonic milliseconds; `performance.now` when absent. */
  readonly monotonicMs?: () => number;
}

/** How old an answer may be: a switched-off agent is gone for every caller after this. */
export const AGENT_TTL_MS = 5000;
/** Agents listed of one community. */
export const MAX_LISTED_AGENTS = 1000;
const MAX_AGENTS_CACHED = 10_000;
const MAX_LISTS_CACHED = 500;

/** Finds the agents of a community; answers may be {@link AGENT_TTL_MS} old. */
export class AgentService {
  readonly #db: Queryable;
  readonly #agents: TtlCache<Agent | undefined>;
  readonly #lists: TtlCache<readonly Agent[]>;

  constructor(options: AgentServiceOptions) {
    this.#db = options.db;
    const nowMs = options.monotonicMs ?? (() => performance.now());
    this.#agents = new TtlCache({ ttlMs: AGENT_TTL_MS, maxEntries: MAX_AGENTS_CACHED, nowMs });
    this.#lists = new TtlCache({ ttlMs: AGENT_TTL_MS, maxEntries: MAX_LISTS_CACHED, nowMs });
  }

  /**
   * The community's active agent of that slug or NFT id. `undefined` for every other text, an
   * agent of another community included. Rejects when the database can't be reached.
   */
  findAgent(communityId: string, ref: string): Promise<Agent | undefined> {
    const parsed = parseAgentRef(ref);
    if (parsed === undefined) return Promise.resolve(undefined);
    const name = parsed.kind === 'slug' ? parsed.slug : parsed.nftId;
    return this.#agents.get(`${communityId} ${name}`, () =>
      findAgent(this.#db, communityId, parsed),
    );
  }

  /** The community's active agents by slug, at most {@link MAX_LISTED_AGENTS}. */
  listAgents(communityId: string): Promise<readonly Agent[]> {
    return this.#lists.get(communityId, () => listAgents(this.#db, communityId, MAX_LISTED_AGENTS));
  }
}
