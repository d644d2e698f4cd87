import type { Process } from './agenda.domain.ts';
import type { World } from './world.domain.ts';

/** One asking for a reservation, told apart from every other. */
export interface Consumer {
  readonly finn: Process;
  readonly jti: string;
  readonly reservationId: string;
}

export type Consumption = 'consumed' | 'jti' | 'reservation' | 'unavailable';

/** Redis, as finn uses it: tokens and reservations used up once, for all replicas. */
export class ReplayGuard {
  downUntilMs = 0;
  /** Whether it ever forgot what it knew. */
  hasForgotten = false;
  readonly #world: World;
  readonly #isOn: boolean;
  readonly #jtis = new Set<string>();
  /** By which call each was taken. */
  readonly #reservations = new Map<string, Consumer>();

  constructor(world: World, isOn: boolean) {
    this.#world = world;
    this.#isOn = isOn;
  }

  consume(consumer: Consumer, answer: (result: Consumption) => void): void {
    const world = this.#world;
    const { finn } = consumer;
    const { life } = finn;
    world.after(world.latencyMs(), undefined, 'replay guard decides', () => {
      const isDown = world.nowMs < this.downUntilMs;
      const result = isDown ? 'unavailable' : this.#consume(consumer);
      // It may have acted, and its answer be lost.
      const told = world.fault(world.scenario.lostMessage / 2) ? 'unavailable' : result;
      world.after(world.latencyMs(), finn, 'replay guard answers', () => answer(told), life);
    });
  }

  /** Only the call that took the reservation gives it back; a failure leaves it used. */
  release(consumer: Consumer, done: () => void): void {
    const world = this.#world;
    const { finn, reservationId } = consumer;
    const { life } = finn;
    world.after(world.latencyMs(), undefined, 'replay guard gives back', () => {
      const isDown = world.nowMs < this.downUntilMs;
      if (!isDown && this.#reservations.get(reservationId) === consumer) {
        this.#reservations.delete(reservationId);
      }
      world.after(world.latencyMs(), finn, 'given back', done, life);
    });
  }

  forget(): void {
    this.hasForgotten = true;
    this.#jtis.clear();
    this.#reservations.clear();
  }

  #consume(consumer: Consumer): Consumption {
    const { jti, reservationId } = consumer;
    if (!this.#isOn) return 'consumed';
    if (this.#jtis.has(jti)) return 'jti';
    if (this.#reservations.has(reservationId)) return 'reservation';
    this.#jtis.add(jti);
    this.#reservations.set(reservationId, consumer);
    return 'consumed';
  }
}
