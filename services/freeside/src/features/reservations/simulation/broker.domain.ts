import type { Process } from './agenda.domain.ts';
import type { Report } from './facts.domain.ts';
import type { World } from './world.domain.ts';

/** One message on its way to a worker. */
export interface Delivery {
  readonly report: Report;
  readonly tries: number;
  ack(): void;
  nak(delayMs: number): void;
}

interface Message {
  readonly report: Report;
  deliveries: number;
  /** The delivery that counts: an older one's refusal is ignored. */
  isDone: boolean;
}

const ACK_TIMEOUT_MS = 5_000;
const ACK_WAIT_MS = 30_000;
const DUPLICATE_WINDOW_MS = 300_000;

/** JetStream: at least once, in no order, and with what it acknowledged at the mercy of its disk. */
export class Broker {
  downUntilMs = 0;
  consumers: readonly { readonly process: Process; receive(delivery: Delivery): void }[] = [];
  readonly #world: World;
  readonly #messages = new Set<Message>();
  readonly #seenAtMs = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  publish(finn: Process, report: Report, answer: (isAcked: boolean) => void): void {
    const world = this.#world;
    const { life } = finn;
    if (world.fault(world.scenario.lostMessage)) {
      world.after(ACK_TIMEOUT_MS, finn, 'publish timed out', () => answer(false));
      return;
    }
    world.after(world.latencyMs(), undefined, 'publish', () => {
      const isUp = world.nowMs >= this.downUntilMs;
      if (isUp) this.#store(report);
      const isTold = isUp && !world.fault(world.scenario.lostMessage);
      const delayMs = isUp && !isTold ? ACK_TIMEOUT_MS : world.latencyMs();
      const label = isTold ? 'publish acknowledged' : 'publish failed';
      world.after(delayMs, finn, label, () => answer(isTold), life);
    });
  }

  /** Comes back with an empty disk. */
  loseStore(): void {
    for (const message of this.#messages) {
      message.isDone = true;
      if (!message.report.isApplied) message.report.lostBy = 'loss of the store';
    }
    this.#messages.clear();
    this.#seenAtMs.clear();
  }

  #store(report: Report): void {
    const world = this.#world;
    const id = report.input.reservationId;
    const seenAtMs = this.#seenAtMs.get(id) ?? Number.NEGATIVE_INFINITY;
    if (seenAtMs > world.nowMs - DUPLICATE_WINDOW_MS) return;
    this.#seenAtMs.set(id, world.nowMs);
    report.lostBy = undefined;
    const message: Message = { report, deliveries: 0, isDone: false };
    this.#messages.add(message);
    this.#deliver(message, world.latencyMs());
    if (world.fault(world.scenario.doubled)) this.#deliver(message, world.latencyMs());
  }

  #deliver(message: Message, delayMs: number): void {
    const world = this.#world;
    world.after(delayMs, undefined, 'delivery', () => {
      if (message.isDone) return;
      message.deliveries += 1;
      const { deliveries, report } = message;
      const consumer = world.random.pick(this.consumers);
      const isLost = world.nowMs < this.downUntilMs || world.fault(world.scenario.lostMessage);
      if (consumer.process.isUp && !isLost) {
        const delivery: Delivery = {
          report,
          tries: deliveries,
          ack: () => this.#acknowledge(message),
          nak: (waitMs) => this.#deliver(message, waitMs),
        };
        world.after(world.latencyMs(), consumer.process, 'usage event arrives', () =>
          consumer.receive(delivery),
        );
      }
      world.after(ACK_WAIT_MS, undefined, 'acknowledgement awaited', () => {
        if (!message.isDone && message.deliveries === deliveries) this.#deliver(message, 0);
      });
    });
  }

  #acknowledge(message: Message): void {
    const world = this.#world;
    if (world.nowMs < this.downUntilMs || world.fault(world.scenario.lostMessage)) return;
    message.isDone = true;
    this.#messages.delete(message);
  }
}
