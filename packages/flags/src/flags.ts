import type { FlagName, FlagValues } from '@arrakis/contracts';
import type { Registry } from 'prom-client';
import type { Statement } from './document.domain.ts';
import {
  NOTHING_TOLD,
  changedFlags,
  decide,
  effectSeconds,
  type Effective,
  type FlagsSource,
} from './effective.domain.ts';
import { FileSource, type FileReading } from './file-source.ts';
import { KvSource, type KvState } from './kv-source.ts';
import type { FlagsLog } from './log.ts';
import { createFlagMetrics, type FlagMetrics } from './metrics.ts';

export interface FlagsOptions {
  /** Of NATS with JetStream; without it the bucket says nothing. */
  readonly natsUrl?: string | undefined;
  /** A mounted ConfigMap: a file a flag; without it files say nothing. */
  readonly dir?: string | undefined;
  /** The name that NATS shows for the connection. */
  readonly clientName: string;
  readonly registry: Registry;
  readonly log: FlagsLog;
  /** Milliseconds since the epoch; `Date.now` when absent. */
  readonly now?: () => number;
}

/** What an operator may see of the flags in this process. */
export interface FlagsSnapshot {
  readonly flags: FlagValues;
  /** On whose word they hold. */
  readonly source: FlagsSource;
  /** Of the bucket's document; null when files or nobody said it. */
  readonly revision: string | null;
  /** RFC 3339: when it was said, and since when it holds here. */
  readonly changedAt: string | null;
  readonly effectiveAt: string;
  /** `live`, `empty` (NATS has no value), `away`; null without a NATS to ask. */
  readonly kv: KvState | null;
}

export interface Flags {
  isEnabled(name: FlagName): boolean;
  snapshot(): FlagsSnapshot;
  /** Called after each change of values, with the flags that changed. Returns how to stop it. */
  onChange(listener: (changed: readonly FlagName[]) => void): () => void;
  /**
   * Resolves as soon as the sources have said their first word, after two seconds at the latest:
   * what was switched off stays off across a restart, and nothing waits for a NATS that is away.
   */
  start(): Promise<void>;
  close(): Promise<void>;
}

const START_DEADLINE_MS = 2_000;

/** @throws Error when the NATS URL can't be right. */
export function createFlags(options: FlagsOptions): Flags {
  return new SourcedFlags(options);
}

class SourcedFlags implements Flags {
  readonly #log: FlagsLog;
  readonly #now: () => number;
  readonly #metrics: FlagMetrics;
  readonly #kvSource: KvSource | undefined;
  readonly #fileSource: FileSource | undefined;
  readonly #listeners = new Set<(changed: readonly FlagName[]) => void>();
  readonly #kvSpoke = Promise.withResolvers<undefined>();
  readonly #startedAtMs: number;

  #effective: Effective = NOTHING_TOLD;
  #effectiveAtMs: number;
  #kv: Statement | undefined;
  #kvState: KvState | undefined;
  #file: Statement | undefined;
  #fileRefused = '';

  constructor(options: FlagsOptions) {
    const { natsUrl, dir, clientName, registry, log } = options;
    this.#log = log;
    this.#now = options.now ?? Date.now;
    this.#startedAtMs = this.#now();
    this.#effectiveAtMs = this.#startedAtMs;
    this.#metrics = createFlagMetrics(
      registry,
      () => this.#effective,
      () => this.#shownKvState(),
    );
    if (natsUrl !== undefined) {
      this.#kvSource = new KvSource({
        url: natsUrl,
        name: `${clientName} flags`,
        log,
        onState: (state) => this.#onKvState(state),
        onValue: (statement) => this.#onKvValue(statement),
        onHealed: () => this.#metrics.healed(),
      });
    }
    if (dir !== undefined) {
      this.#fileSource = new FileSource({ dir, onReading: (reading) => this.#onFile(reading) });
    }
  }

  isEnabled(name: FlagName): boolean {
    return this.#effective.values[name];
  }

  snapshot(): FlagsSnapshot {
    const { values, source, statement } = this.#effective;
    return {
      flags: { ...values },
      source,
      revision: statement?.revision ?? null,
      changedAt: statement === undefined ? null : new Date(statement.changedAtMs).toISOString(),
      effectiveAt: new Date(this.#effectiveAtMs).toISOString(),
      kv: this.#shownKvState() ?? null,
    };
  }

  onChange(listener: (changed: readonly FlagName[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async start(): Promise<void> {
    const first: Promise<unknown>[] = [];
    if (this.#fileSource !== undefined) first.push(this.#fileSource.start());
    if (this.#kvSource !== undefined) {
      this.#kvSource.start();
      first.push(this.#kvSpoke.promise);
    }
    await withDeadline(Promise.all(first), START_DEADLINE_MS);
    if (this.#fileSource !== undefined && this.#file === undefined) {
      this.#log.warn({}, 'flags: the directory holds no usable flags');
    }
    this.#log.info({ ...this.snapshot() }, 'flags at the start');
  }

  async close(): Promise<void> {
    this.#fileSource?.close();
    await this.#kvSource?.close();
    this.#listeners.clear();
  }

  #shownKvState(): KvState | undefined {
    return this.#kvSource === undefined ? undefined : (this.#kvState ?? 'away');
  }

  #onKvState(state: KvState): void {
    const before = this.#kvState;
    this.#kvState = state;
    this.#kvSpoke.resolve(undefined);
    this.#decide();
    if (before !== undefined) this.#log.info({ kv: state, was: before }, 'flags: bucket changed');
  }

  #onKvValue(statement: Statement | undefined): void {
    if (statement === undefined) {
      this.#metrics.refused('kv');
      this.#log.warn({}, 'flags: the bucket holds no usable document; the last good one holds');
      return;
    }
    this.#kv = statement;
    // An entry came, so the bucket answers: the first one is followed by the state.
    if (this.#kvState === 'live') this.#decide();
  }

  #onFile({ statement, refused }: FileReading): void {
    this.#noteRefused(refused);
    // Files that vanished take nothing back.
    this.#file = statement ?? this.#file;
    this.#decide();
  }

  /** Once for each way of being wrong, not at each look. */
  #noteRefused(refused: Readonly<Record<string, string>>): void {
    const now = JSON.stringify(refused);
    if (now === this.#fileRefused) return;
    this.#fileRefused = now;
    if (Object.keys(refused).length === 0) return;
    this.#metrics.refused('file');
    this.#log.warn({ refused }, 'flags: files with bad values; the last good ones hold');
  }

  #decide(): void {
    const before = this.#effective;
    const next = decide(before, {
      kv: this.#kv,
      isKvLive: this.#kvState === 'live',
      file: this.#file,
    });
    this.#effective = next;
    if (next.source === before.source && isSameStatement(next.statement, before.statement)) return;
    const nowMs = this.#now();
    this.#effectiveAtMs = nowMs;
    const changed = changedFlags(before.values, next.values);
    if (changed.length === 0) return;
    this.#noteEffect(next, nowMs);
    const { values, source, statement } = next;
    this.#log.info(
      { changed, flags: values, source, revision: statement?.revision },
      'flags changed',
    );
    for (const listener of this.#listeners) listener(changed);
  }

  #noteEffect({ source, statement }: Effective, nowMs: number): void {
    if (statement === undefined) return;
    const seconds = effectSeconds(statement, nowMs, this.#startedAtMs);
    if (seconds !== undefined) this.#metrics.effected(source, seconds);
  }
}

function isSameStatement(one: Statement | undefined, other: Statement | undefined): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

async function withDeadline(work: Promise<unknown>, deadlineMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, deadlineMs);
  });
  await Promise.race([work, deadline]);
  clearTimeout(timer);
}
