import type { Pool } from '@arrakis/contracts';
import type { TokenCount } from '@arrakis/money';
import type { Process } from './agenda.domain.ts';
import type { World } from './world.domain.ts';

/** What finn writes to one caller, in order. */
export type FinnMessage =
  | {
      readonly kind: 'token';
      readonly pool: Pool;
      readonly promptTokens: number;
      readonly tokens: number;
    }
  | { readonly kind: 'done'; readonly pool: Pool; readonly count: TokenCount }
  | { readonly kind: 'plain'; readonly pool: Pool; readonly count: TokenCount }
  | { readonly kind: 'error' }
  /** The end after an error, with the trailer. */
  | { readonly kind: 'trailer'; readonly tokens: number }
  | { readonly kind: 'refusal'; readonly isServerFault: boolean; readonly isUsed: boolean };

export interface ApiEnd {
  onMessage(message: FinnMessage): void;
  /** finn, or the way to it, is gone. */
  onLost(): void;
}

/** One request from an api to a finn, and the answer's way back: bytes keep their order. */
export class Connection {
  readonly finn: Process;
  readonly #world: World;
  readonly #api: Process;
  readonly #end: ApiEnd;
  /** The lives of both that it was opened with. */
  readonly #finnLife: number;
  readonly #apiLife: number;
  #lastArrivalMs = 0;
  #isClosed = false;
  #isCut = false;
  #isKnownGone = false;
  #onCallerGone: (() => void) | undefined;

  constructor(world: World, api: Process, finn: Process, end: ApiEnd) {
    this.#world = world;
    this.#api = api;
    this.finn = finn;
    this.#finnLife = finn.life;
    this.#apiLife = api.life;
    this.#end = end;
  }

  /** Whether finn has noticed that nobody listens any more. Until then the kernel takes its bytes. */
  get isKnownGone(): boolean {
    return this.#isKnownGone;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  onCallerGone(callback: () => void): void {
    if (this.#isKnownGone) callback();
    else this.#onCallerGone = callback;
  }

  /** The api is dead or has had enough. finn learns of it a little later. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const world = this.#world;
    const learn = (): void => {
      this.#isKnownGone = true;
      this.#onCallerGone?.();
    };
    world.after(world.latencyMs(), this.finn, 'finn sees its caller gone', learn, this.#finnLife);
  }

  send(label: string, message: FinnMessage): void {
    this.#arrive(label, () => this.#end.onMessage(message));
  }

  /** finn has died: what it had written still arrives, unless a reset overtakes it. */
  lose(): void {
    if (this.#world.random.chance(0.3)) {
      this.#isCut = true;
      this.#lastArrivalMs = 0;
      this.#world.after(this.#world.latencyMs(), this.#api, 'reset', () => this.#lost());
    } else {
      this.#arrive('end of stream', () => this.#lost());
    }
  }

  #lost(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#end.onLost();
  }

  #arrive(label: string, deliver: () => void): void {
    const world = this.#world;
    const atMs = Math.max(this.#lastArrivalMs, world.nowMs + world.latencyMs());
    this.#lastArrivalMs = atMs;
    const arrive = (): void => {
      if (!this.#isClosed && !this.#isCut) deliver();
    };
    world.after(atMs - world.nowMs, this.#api, label, arrive, this.#apiLife);
  }
}
