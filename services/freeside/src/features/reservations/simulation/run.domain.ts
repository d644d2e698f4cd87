import type { TokenCount } from '@arrakis/money';
import type { Process } from './agenda.domain.ts';
import type { Connection } from './connection.domain.ts';
import type { Fact, Run } from './facts.domain.ts';
import type { Script } from './script.domain.ts';
import type { Spool, SpoolEntry } from './spool.domain.ts';
import type { World } from './world.domain.ts';

export interface InferenceRunOptions {
  readonly world: World;
  readonly process: Process;
  readonly connection: Connection;
  readonly fact: Fact;
  readonly run: Run;
  readonly script: Script;
  readonly entry: SpoolEntry;
  readonly spool: Spool;
  readonly giveBack: (done: () => void) => void;
}

const TOTAL_TIMEOUT_MS = 55_000;

/** One answer of a finn, piece by piece, with the places between where it may die. */
export class InferenceRun {
  readonly #o: InferenceRunOptions;
  /** Pieces that came, and that were written: by index, one beyond the last. */
  #received = 0;
  #written = 0;
  #isOver = false;

  constructor(options: InferenceRunOptions) {
    this.#o = options;
  }

  start(): void {
    const { connection, process, world } = this.#o;
    connection.onCallerGone(() => this.#onCallerGone());
    world.after(TOTAL_TIMEOUT_MS, process, 'finn looks at the clock', () => {
      if (!this.#isOver) this.#break();
    });
    this.#awaitProvider();
  }

  #awaitProvider(): void {
    const { process, script, world } = this.#o;
    if (this.#isOver) return;
    const piece = script.pieces[this.#received];
    if (piece === undefined && script.ending === 'stall') return;
    const label = piece === undefined ? 'provider ends' : 'provider speaks';
    world.after(world.latencyMs() + world.random.pick([0, 40, 3_000]), process, label, () => {
      if (this.#isOver) return;
      if (piece !== undefined) this.#onPiece();
      else if (script.ending === 'complete') this.#complete();
      else this.#break();
    });
  }

  #onPiece(): void {
    const { fact, process, world } = this.#o;
    this.#received += 1;
    if (fact.isStream) world.after(0, process, 'finn writes', () => this.#flush());
    this.#awaitProvider();
  }

  #flush(): void {
    const { connection, entry, process, run, script, spool, world } = this.#o;
    if (this.#isOver || connection.isKnownGone || this.#written === this.#received) return;
    this.#written = this.#received;
    const piece = script.pieces[this.#written - 1];
    if (piece === undefined) return;
    run.handed = { promptTokens: script.promptTokens, completionTokens: piece.real };
    connection.send('token', {
      kind: 'token',
      pool: run.pool,
      promptTokens: script.promptTokens,
      tokens: piece.running,
    });
    // The journal follows a turn later, after the socket took the bytes.
    world.after(0, process, 'progress journaled', () => spool.progress(entry, piece.running));
  }

  /** What was written of it: nothing used where nothing was. */
  #delivered(): TokenCount {
    return this.#o.run.handed ?? { promptTokens: 0, completionTokens: 0 };
  }

  #complete(): void {
    const { connection, fact, run, script } = this.#o;
    if (connection.isKnownGone) {
      this.#finish(this.#delivered());
      return;
    }
    this.#isOver = true;
    run.handed = script.final;
    const { pool } = run;
    const kind = fact.isStream ? 'done' : 'plain';
    connection.send(kind, { kind, pool, count: script.final });
    this.#finishLater(script.final);
  }

  /** Ends with a failure: as a refusal where nothing was sent, else as the last event. */
  #break(): void {
    const { connection } = this.#o;
    if (this.#written === 0) {
      this.#abandon(true);
      return;
    }
    this.#flush();
    this.#isOver = true;
    const delivered = this.#delivered();
    if (!connection.isKnownGone) {
      connection.send('error', { kind: 'error' });
      connection.send('trailer', { kind: 'trailer', tokens: delivered.completionTokens });
    }
    this.#finishLater(delivered);
  }

  #onCallerGone(): void {
    if (this.#isOver) return;
    // What was generated cost something: the reservation stays used, for what was delivered of it.
    if (this.#received > 0) this.#finish(this.#delivered());
    else this.#abandon(false);
  }

  #abandon(isTold: boolean): void {
    const { connection, entry, giveBack, spool } = this.#o;
    this.#isOver = true;
    spool.abandon(entry);
    giveBack(() => {
      if (isTold) connection.send('502', { kind: 'refusal', isServerFault: true, isUsed: false });
    });
  }

  /** The bytes are out before the count is journaled: in between only the progress is known. */
  #finishLater(count: TokenCount): void {
    this.#o.world.after(1, this.#o.process, 'final count journaled', () => {
      this.#o.spool.finish(this.#o.entry, count);
    });
  }

  #finish(count: TokenCount): void {
    this.#isOver = true;
    this.#o.spool.finish(this.#o.entry, count);
  }
}
