import { setTimeout as pause } from 'node:timers/promises';
import type { ApiClient, Selection } from '../kubernetes/api.client.ts';
import { ApiError, isGone } from '../kubernetes/api-error.ts';
import type { KubeList, KubeObject, Resource, WatchEvent } from '../kubernetes/objects.ts';
import { backoffMs, jittered } from './backoff.domain.ts';
import { missedNames, type Versions } from './missed.domain.ts';

export type WatchEnd = 'ended' | 'silent' | 'gone' | 'failed';

export interface InformerEvents {
  /** Changes that a list found and no event had told. */
  readonly missedThenHealed: (count: number) => void;
  readonly watchEnded: (why: WatchEnd) => void;
  readonly listed: (count: number) => void;
  readonly failed: (error: unknown) => void;
}

export interface InformerOptions {
  readonly api: ApiClient;
  readonly resource: Resource;
  readonly selection: Selection;
  /** A name whose object came, changed or went; look it up with `get`. */
  readonly onChange: (name: string) => void;
  readonly events: InformerEvents;
  /** Asked of the server for each watch: it ends by itself after that. */
  readonly watchSeconds?: number;
  /** Nothing heard for that long, neither an event, nor a bookmark, nor the end: the wire is dead. */
  readonly deadAfterMs?: number;
  /** A list beside the living watch, to catch it at leaving something out. */
  readonly verifyEveryMs?: number;
  /** How long an event may be on its way before it counts as left out. */
  readonly verifyGraceMs?: number;
  readonly random?: () => number;
}

const RETRY = { firstMs: 200, maxMs: 15_000 };

/**
 * The objects of a kind, kept up to date. A watch over a dead connection looks like one over which
 * nothing happens; so each is asked to end after a quarter of a minute, and one from which not even
 * that end is heard is cut, with all connections, and the objects are listed anew. Within 25 s of a
 * black hole its changes are known.
 */
export class Informer<T extends KubeObject> {
  readonly #options: InformerOptions;
  readonly #objects = new Map<string, T>();
  readonly #stop = new AbortController();
  #isSynced = false;
  #resourceVersion = '';
  #running: Promise<void> = Promise.resolve();
  #lastHeardMs = performance.now();
  readonly #random: () => number;

  constructor(options: InformerOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
  }

  start(): void {
    this.#running = Promise.all([this.#loop(), this.#verifyLoop()]).then(() => undefined);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Since anything came over the watch or a list. */
  get silentMs(): number {
    return performance.now() - this.#lastHeardMs;
  }

  get(name: string): T | undefined {
    return this.#objects.get(name);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  async #loop(): Promise<void> {
    let failures = 0;
    let mustList = true;
    while (!this.#isStopped()) {
      try {
        if (mustList) await this.#relist();
        mustList = false;
        const why = await this.#watch();
        this.#options.events.watchEnded(why);
        failures = 0;
        mustList = why !== 'ended';
        if (why === 'silent') this.#options.api.reconnect();
        // Everybody who lost the same server would otherwise list at the same moment.
        if (mustList) await this.#pause(jittered(500, this.#random()));
      } catch (error) {
        if (this.#isStopped()) return;
        failures += 1;
        mustList = true;
        this.#options.events.watchEnded('failed');
        this.#options.events.failed(error);
        // A request that timed out may have met a dead connection, and the pool may hold more.
        if (!(error instanceof ApiError)) this.#options.api.reconnect();
        await this.#pause(backoffMs(failures, this.#random(), RETRY));
      }
    }
  }

  #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  async #pause(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.#stop.signal, ref: false }).catch(() => undefined);
  }

  async #relist(): Promise<void> {
    const { api, resource, selection, events } = this.#options;
    const list = await api.list<T>(resource, selection);
    this.#heard();
    events.listed(list.items.length);
    const missed = missedNames(this.#versions(), versionsOf(list));
    if (this.#isSynced && missed.length > 0) events.missedThenHealed(missed.length);
    this.#adopt(list, missed);
    this.#resourceVersion = list.metadata.resourceVersion;
    this.#isSynced = true;
  }

  #adopt(list: KubeList<T>, names: readonly string[]): void {
    const listed = new Map(list.items.map((item) => [item.metadata.name, item]));
    for (const name of names) {
      const object = listed.get(name);
      if (object === undefined) this.#objects.delete(name);
      else this.#objects.set(name, object);
    }
    for (const name of names) this.#options.onChange(name);
  }

  /** Follows changes from the last known version until the watch ends one way or another. */
  async #watch(): Promise<WatchEnd> {
    const { api, resource, selection, watchSeconds = 15, deadAfterMs = 20_000 } = this.#options;
    const cut = new AbortController();
    const silence = setInterval(
      () => {
        if (this.silentMs >= deadAfterMs) cut.abort(new Error('silent'));
      },
      Math.min(500, deadAfterMs / 4),
    );
    silence.unref();
    this.#heard();
    try {
      const events = api.watch<T>(resource, selection, {
        resourceVersion: this.#resourceVersion,
        timeoutSeconds: Math.max(1, Math.round(jittered(watchSeconds, this.#random()))),
        signal: AbortSignal.any([cut.signal, this.#stop.signal]),
      });
      for await (const event of events) {
        this.#heard();
        if (event.type === 'ERROR') throw errorOf(event.object);
        this.#take(event);
      }
      this.#heard();
      return 'ended';
    } catch (error) {
      if (this.#isStopped()) return 'ended';
      if (cut.signal.aborted) return 'silent';
      if (isGone(error)) return 'gone';
      throw error;
    } finally {
      clearInterval(silence);
    }
  }

  #take({ type, object }: WatchEvent<T>): void {
    this.#resourceVersion = object.metadata.resourceVersion ?? this.#resourceVersion;
    if (type === 'BOOKMARK') return;
    const { name } = object.metadata;
    if (type === 'DELETED') this.#objects.delete(name);
    else this.#objects.set(name, object);
    this.#options.onChange(name);
  }

  async #verifyLoop(): Promise<void> {
    const { verifyEveryMs = 600_000 } = this.#options;
    while (!this.#isStopped()) {
      await this.#pause(jittered(verifyEveryMs, this.#random()));
      if (this.#isStopped()) return;
      await this.verify().catch((error: unknown) => this.#options.events.failed(error));
    }
  }

  /**
   * Lists beside the watch. What differs may still be on its way; what has not come after a grace
   * was left out: it is taken from the list.
   */
  async verify(): Promise<void> {
    const { api, resource, selection, events, verifyGraceMs = 5_000 } = this.#options;
    const before = this.#versions();
    const list = await api.list<T>(resource, selection);
    const suspects = missedNames(this.#versions(), versionsOf(list));
    if (suspects.length === 0) return;
    await this.#pause(verifyGraceMs);
    if (this.#isStopped()) return;
    const now = this.#versions();
    // One that moved meanwhile is followed by the watch.
    const missed = suspects.filter((name) => now.get(name) === before.get(name));
    if (missed.length === 0) return;
    events.missedThenHealed(missed.length);
    this.#adopt(list, missed);
  }

  #versions(): Versions {
    return new Map(
      [...this.#objects].map(([name, { metadata }]) => [name, metadata.resourceVersion ?? '']),
    );
  }

  #heard(): void {
    this.#lastHeardMs = performance.now();
  }
}

function versionsOf<T extends KubeObject>(list: KubeList<T>): Versions {
  return new Map(list.items.map(({ metadata }) => [metadata.name, metadata.resourceVersion ?? '']));
}

function errorOf(object: unknown): ApiError {
  const { code = 500, reason = 'Unknown' } = object as { code?: number; reason?: string };
  return new ApiError(code, reason, 'watch');
}
