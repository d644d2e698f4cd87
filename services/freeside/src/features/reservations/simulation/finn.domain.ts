import type { Pool } from '@arrakis/contracts';
import { Process } from './agenda.domain.ts';
import type { Broker } from './broker.domain.ts';
import type { Connection } from './connection.domain.ts';
import type { Fact, Run } from './facts.domain.ts';
import type { Consumer, ReplayGuard } from './replay-guard.domain.ts';
import { InferenceRun } from './run.domain.ts';
import { drawScript } from './script.domain.ts';
import { Spool } from './spool.domain.ts';
import type { Mortal, World } from './world.domain.ts';

export interface FinnRequest {
  readonly fact: Fact;
  readonly jti: string;
  readonly signedAtMs: number;
  readonly connection: Connection;
}

/** Sixty seconds and the skew. */
const TOKEN_LIFE_MS = 90_000;

/** One finn: uses a token up once, journals, answers, reports. Its spool outlives it. */
export class Finn implements Mortal {
  readonly process: Process;
  readonly #world: World;
  readonly #guard: ReplayGuard;
  readonly #spool: Spool;
  readonly #connections = new Set<Connection>();

  constructor(world: World, name: string, guard: ReplayGuard, broker: Broker) {
    this.#world = world;
    this.process = new Process(name);
    this.#guard = guard;
    this.#spool = new Spool(world, this.process, broker);
    world.add(this);
  }

  onDeath(): void {
    for (const connection of this.#connections) connection.lose();
    this.#connections.clear();
  }

  onStart(): void {
    const { random, scenario } = this.#world;
    this.#spool.recover(random.chance(scenario.diskLoss));
  }

  receive(request: FinnRequest): void {
    const { connection, fact, jti, signedAtMs } = request;
    const world = this.#world;
    this.#connections.add(connection);
    if (connection.isKnownGone) return;
    if (world.nowMs > signedAtMs + TOKEN_LIFE_MS) {
      connection.send('401', { kind: 'refusal', isServerFault: false, isUsed: false });
      return;
    }
    if (world.fault(world.scenario.lostMessage / 4)) {
      connection.send('503', { kind: 'refusal', isServerFault: true, isUsed: false });
      return;
    }
    const { reservationId } = fact.request;
    const consumer: Consumer = { finn: this.process, jti, reservationId };
    this.#guard.consume(consumer, (result) => {
      switch (result) {
        case 'consumed':
          this.#run(request, consumer);
          return;
        case 'jti':
          connection.send('401', { kind: 'refusal', isServerFault: false, isUsed: false });
          return;
        case 'reservation':
          connection.send('409', { kind: 'refusal', isServerFault: false, isUsed: true });
          return;
        case 'unavailable':
          // It may have acted nevertheless: nothing runs, and it is given back in case.
          this.#guard.release(consumer, () => undefined);
          connection.send('503', { kind: 'refusal', isServerFault: true, isUsed: false });
      }
    });
  }

  #run({ fact, jti, connection }: FinnRequest, consumer: Consumer): void {
    const world = this.#world;
    // Only a guard that has forgotten lets one in twice.
    if (this.#spool.isMetering(fact)) {
      connection.send('500', { kind: 'refusal', isServerFault: true, isUsed: false });
      return;
    }
    const { pool } = fact.request;
    const run: Run = {
      finn: this.process.name,
      pool: world.random.chance(0.2) ? CHEAPEST : pool,
      jti,
      handed: undefined,
      isJournaled: false,
      report: undefined,
    };
    fact.runs.push(run);
    const script = drawScript(world, fact);
    const entry = this.#spool.begin(fact, run, script.promptTokens);
    new InferenceRun({
      world,
      process: this.process,
      connection,
      fact,
      run,
      script,
      entry,
      spool: this.#spool,
      giveBack: (done) => this.#guard.release(consumer, done),
    }).start();
  }
}

const CHEAPEST: Pool = 'cheap';
