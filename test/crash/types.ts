import type { Pool as PoolName, UsageEvent } from '@arrakis/contracts';
import type { OwnBackends } from '@arrakis/testkit';
import type { Pool } from 'pg';
import type { ServiceKind, ServiceName, System } from '../support/system.ts';
import type { Market, PaymentEvidence, Shop } from './payments/types.ts';

/**
 * What the parts of the crash test know of each other. `world` and `faults` make and break the
 * system, `load` uses it and notes what it saw, `audit` compares that with the books.
 *
 * Every `...AtMs` is milliseconds since the epoch of this machine's one clock, which is also
 * PostgreSQL's, so that times of clients, faults and rows can be put in one order.
 */

/** A community that pays, made for this run; amounts are drawn from the seed. */
export interface Community {
  readonly id: string;
  readonly slug: string;
  /** Full secrets, `lf_live_...`; limits that no run reaches. */
  readonly apiKeys: readonly [string, ...string[]];
  /** Agents; on the OpenAI route the slug is the model. */
  readonly agents: readonly [Agent, ...Agent[]];
  /** One of them: about half of the traffic goes there. */
  readonly hot: boolean;
  /** One of them: it runs out of credits under load, so that 402s occur. */
  readonly poor: boolean;
  /** One of them: what it has it buys, spends, and is sometimes refunded. */
  readonly prepaid: boolean;
  /** All that was granted to it, before the load began. */
  readonly fundedMicro: bigint;
}

export interface Agent {
  /** `chainId:contract:tokenId` */
  readonly nftId: string;
  readonly slug: string;
  /** The pool that answers when the request names none. */
  readonly pool: PoolName;
}

/** Where clients reach one api replica: a relay that stays when the process dies. */
export interface ApiReplica {
  readonly name: ServiceName;
  readonly url: string;
}

/** A running system of replicas, each wire of which can be broken. */
export interface World {
  readonly seed: number;
  /** Two apis, two finns, one worker; `process(name)` is the newest one of that name. */
  readonly system: System;
  readonly apis: readonly ApiReplica[];
  readonly communities: readonly Community[];
  readonly backends: OwnBackends;
  /**
   * As the owner of the schema, straight to PostgreSQL; a query fails while it is down and works
   * again afterwards. `pg_terminate_backend` faults leave sessions of this pool alone.
   */
  readonly auditDb: Pool;
  readonly provider: ProviderHandle;
  readonly usage: UsageWire;
  readonly shop: Shop;
  stop(): Promise<void>;
}

/** NATS without our services in between. */
export interface UsageWire {
  /** Every usage event seen on the subject so far, each reservation's in order of arrival. */
  captured(): readonly CapturedUsage[];
  /**
   * Publishes to the real stream and waits for its ack. Without `messageId` the stream can't
   * recognise it as a duplicate, so that the consumer gets it again.
   * @throws while NATS is away
   */
  publish(event: UsageEvent | Uint8Array, options?: { readonly messageId?: string }): Promise<void>;
  /** Messages the settlement consumer has not acknowledged yet; throws while NATS is away. */
  pending(): Promise<number>;
  /** Messages that rest in the parked stream. */
  parked(): Promise<number>;
}

export interface CapturedUsage {
  readonly atMs: number;
  readonly event: UsageEvent;
  readonly raw: Uint8Array;
  /** True when this run's chaos published it, false when finn did. */
  readonly replayed: boolean;
}

/* The provider (load/provider.ts): export function startProvider(seed: number): Promise<ProviderHandle> */

export interface ProviderHandle {
  /** OpenAI-compatible, with `/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  /** The model name that stands for each pool in finn's pool file. */
  readonly models: Readonly<Record<PoolName, string>>;
  records(): readonly ProviderRecord[];
  /** From now on every request is answered well and fast; what was stalled is cut. */
  calm(): void;
  close(): Promise<void>;
}

export interface ProviderRecord {
  /** What the client wrote into its prompt; the only thing that provider and client share. */
  readonly marker: string;
  readonly atMs: number;
  endedAtMs?: number;
  readonly pool: PoolName;
  readonly stream: boolean;
  /** As the provider reports it, when it does. */
  readonly promptTokens: number;
  /** Sent so far, whether or not anybody took them. */
  completionTokens: number;
  /** Text pieces sent so far, in order. */
  readonly pieces: string[];
  readonly usageReported: boolean;
  readonly plan: string;
  outcome: 'open' | 'completed' | 'failed' | 'cut' | 'aborted_by_finn';
}

/* The clients (load/clients.ts): export function startLoad(world: World, options: LoadOptions): LoadHandle */

export interface LoadOptions {
  readonly seed: number;
  /** Concurrent clients, 50 in the full form. */
  readonly clients: number;
}

export interface LoadHandle {
  /** Ended calls so far. */
  records(): readonly CallRecord[];
  /** What was bought so far. */
  market(): Market;
  /** No new calls; resolves when all that are open have ended, each with its own deadline. */
  stop(): Promise<readonly CallRecord[]>;
}

/** How a call ended, as its client saw it. */
export type CallOutcome =
  /** 200 and everything up to the end of the answer. */
  | 'completed'
  /** The client itself hung up in the middle. */
  | 'left'
  /** 200, then the connection ended or an `error` event came before the end. */
  | 'cut'
  /** A 4xx. */
  | 'refused'
  /** A 5xx. */
  | 'unavailable'
  /** No status line: refused, reset or silent until the client's deadline. */
  | 'no_answer';

export interface CallRecord {
  /** Unique within the run, also in the prompt. */
  readonly marker: string;
  /** `X-Request-Id`, once a status line came: the reservation's id. */
  readonly requestId?: string | undefined;
  /** Community id. */
  readonly community: string;
  /** Index into `world.apis`. */
  readonly replica: number;
  readonly route: 'inference' | 'chat_completions' | 'balance';
  readonly stream: boolean;
  readonly maxTokens: number;
  readonly startedAtMs: number;
  /** When the status line came. */
  readonly headersAtMs?: number | undefined;
  readonly endedAtMs: number;
  readonly status?: number | undefined;
  /** Seconds. */
  readonly retryAfter?: number | undefined;
  readonly problemCode?: string | undefined;
  /** The text as the client got it. */
  readonly text: string;
  /** Highest `id:` of a token event (completion tokens so far), when the route has them. */
  readonly deliveredTokens?: number | undefined;
  readonly sawDone: boolean;
  /** Of the `done` event, the plain body or OpenAI's usage chunk. */
  readonly usage?: { readonly promptTokens: number; readonly completionTokens: number } | undefined;
  readonly outcome: CallOutcome;
  /** Socket error code or what else went wrong, for the history. */
  readonly fault?: string | undefined;
}

/* The audit (audit/audit.ts):
 *   export function startSnapshotChecks(world: World): { stop(): Promise<readonly Verdict[]> }
 *   export function audit(world: World, evidence: Evidence): Promise<readonly Verdict[]>
 *   export function auditRepetition(world: World, evidence: Evidence): Promise<readonly Verdict[]>
 * The last one runs every job a second time, replays every usage event and compares the books.
 */

export interface Evidence {
  readonly calls: readonly CallRecord[];
  readonly provider: readonly ProviderRecord[];
  readonly faults: readonly FaultRecord[];
  readonly payments: PaymentEvidence;
}

export interface Verdict {
  /** A sentence that is true when the promise holds: `entries sum to zero`. */
  readonly invariant: string;
  readonly ok: boolean;
  /** Figures when it holds, the first violations when it doesn't. */
  readonly detail: string;
  /** The first broken account or hold; its history goes into the report. */
  readonly broken?: { readonly communityId: string; readonly reservationId?: string } | undefined;
}

/* Faults (faults/) */

export type FaultKind =
  | 'kill'
  | 'freeze'
  | 'postgres-crash'
  | 'postgres-terminate'
  | 'redis-restart'
  | 'redis-flush'
  | 'nats-restart'
  | 'nats-wipe'
  | 'wire-cut'
  | 'wire-delay'
  | 'wire-black-hole'
  | 'events-doubled'
  | 'events-late'
  | 'events-reordered'
  | 'clock-step'
  /** Not of our making: the machine gave a process no time to run. */
  | 'machine-starved';

/** What really happened, for the timeline. */
export interface FaultRecord {
  readonly kind: FaultKind;
  /** `api-1`, `postgres`, `finn-2->redis`, `client->api-1`, ... */
  readonly target: string;
  readonly detail: string;
  readonly startedAtMs: number;
  /** When it was undone and its victim ready again; the same moment for what needs no healing. */
  readonly healedAtMs: number;
}

/* Sabotage (sabotage/catalogue.ts): export const SABOTAGES: Readonly<Record<string, Sabotage>> */

/** A guard taken out, to see the test go red. */
export interface Sabotage {
  readonly what: string;
  /** Run as the owner of the schema after the world's database was made, before services start. */
  readonly sql?: readonly string[];
  /** Added to the environment of each process of that kind, e.g. `NODE_OPTIONS` with a hook. */
  readonly env?: Partial<Record<ServiceKind, Readonly<Record<string, string>>>>;
  /** Invariants of which at least one must break. */
  readonly breaks: readonly string[];
}

/* The runner (run.ts): export function runCrash(options: CrashOptions): Promise<CrashReport> */

export interface CrashOptions {
  readonly seed: number;
  /** The form that fits into `make test`: fewer and shorter faults, no fsync. */
  readonly short: boolean;
  /** Of load; by default what the form has. */
  readonly seconds?: number | undefined;
  readonly sabotage?: string | undefined;
  /** See {@link WorldOptions}. */
  readonly dir?: string | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
}

export interface CrashReport {
  readonly seed: number;
  readonly ok: boolean;
  readonly verdicts: readonly Verdict[];
  readonly faults: readonly FaultRecord[];
  /** The whole report as text; also in `.arrakis/crash/seed-<n>.txt`. */
  readonly text: string;
}

/* The world (world/world.ts): export function startWorld(options: WorldOptions): Promise<World> */

export interface WorldOptions {
  readonly seed: number;
  /** PostgreSQL with fsync and the timeouts of production; else both are cut short. */
  readonly durable: boolean;
  /** Where files go; made and removed by the world when absent. */
  readonly dir?: string | undefined;
  readonly sabotage?: Sabotage | undefined;
  /** Instead of two apis, two finns and a worker. */
  readonly replicas?: Readonly<Record<ServiceKind, number>> | undefined;
  /** Instead of those drawn from the seed. */
  readonly communities?: readonly CommunityPlan[] | undefined;
  readonly startProvider: (seed: number) => Promise<ProviderHandle>;
}

export interface CommunityPlan {
  readonly slug: string;
  readonly tier: 'free' | 'standard' | 'pro' | 'enterprise';
  /** As lots, in this order. */
  readonly lotsMicro: readonly bigint[];
  readonly apiKeys: number;
  readonly hot: boolean;
  readonly poor: boolean;
  readonly prepaid: boolean;
}
