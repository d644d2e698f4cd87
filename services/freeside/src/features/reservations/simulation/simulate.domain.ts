import type { LedgerRules } from '../ledger-model-rules.domain.ts';
import { LedgerModel } from '../ledger-model.domain.ts';
import type { HoldRequest } from '../reservation.domain.ts';
import type { SettlementInput } from '../settlement.domain.ts';
import { Api, COUNTED_ABOVE_TOKENS } from './api.domain.ts';
import { Broker } from './broker.domain.ts';
import { Finn } from './finn.domain.ts';
import { Ledger, type LedgerOperation } from './ledger.domain.ts';
import { Random } from './random.domain.ts';
import { ReplayGuard } from './replay-guard.domain.ts';
import { drawScenario } from './scenario.domain.ts';
import {
  drawKeys,
  SIMULATED_COMMUNITIES,
  SIMULATED_PRICES,
  type SimulatedKey,
} from './setting.domain.ts';
import { faultsOfRequest } from './verdict.domain.ts';
import { Worker } from './worker.domain.ts';
import { World } from './world.domain.ts';

export interface SimulationOptions {
  /** The ledger's guards; a test may break one. */
  readonly rules?: LedgerRules;
  /** Sabotage: the worker acknowledges before the settlement has committed. */
  readonly acknowledgesFirst?: boolean;
  /** Sabotage: finn runs whatever it is asked. */
  readonly isReplayGuardOff?: boolean;
  /** Told of every step. */
  readonly trace?: (line: string) => void;
  /** Told of every change of the books, set-up included. */
  readonly onOperation?: (operation: LedgerOperation) => void;
  /** Steps by kind are added to it. */
  readonly tally?: Map<string, number>;
}

export interface History {
  readonly seed: number;
  readonly steps: number;
  readonly requests: number;
  readonly violations: readonly string[];
}

const MAX_STEPS = 20_000;

/**
 * One history, all of it drawn from its number: the same number and code give the same steps. It
 * ends when nothing is on its way any more, with what was found wrong, after any step and then.
 */
export function simulate(seed: number, options: SimulationOptions = {}): History {
  const simulation = new Simulation(seed, options);
  return simulation.run();
}

class Simulation {
  readonly #seed: number;
  readonly #random: Random;
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #broker: Broker;
  readonly #guard: ReplayGuard;
  readonly #apis: readonly Api[];
  readonly #workers: readonly Worker[];
  readonly #keys: readonly SimulatedKey[];
  #lots = 0;

  constructor(seed: number, options: SimulationOptions) {
    const random = new Random(seed);
    this.#seed = seed;
    this.#random = random;
    this.#keys = drawKeys(random);
    const scenario = drawScenario(random);
    const { trace, tally = new Map<string, number>(), onOperation = () => undefined } = options;
    const world = new World({ random, scenario, trace, tally });
    this.#world = world;
    const model = new LedgerModel(SIMULATED_PRICES, options.rules);
    for (const id of SIMULATED_COMMUNITIES) model.openCommunity(id);
    for (const key of this.#keys) model.openKey(key);
    const ledger = new Ledger(world, model, onOperation);
    this.#ledger = ledger;
    const broker = new Broker(world);
    this.#broker = broker;
    const guard = new ReplayGuard(world, options.isReplayGuardOff !== true);
    this.#guard = guard;
    const finns = ['finn1', 'finn2'].map((name) => new Finn(world, name, guard, broker));
    this.#apis = ['api1', 'api2'].map((name) => new Api(world, name, ledger, finns));
    const acknowledgesFirst = options.acknowledgesFirst ?? false;
    this.#workers = ['worker1', 'worker2'].map(
      (name) => new Worker(world, name, ledger, { acknowledgesFirst }),
    );
    broker.consumers = this.#workers;
    ledger.onHeld = () => {
      for (const worker of this.#workers) worker.arm();
    };
  }

  run(): History {
    const world = this.#world;
    this.#planMoney();
    this.#planRequests();
    this.#planOutages();
    while (world.agenda.steps < MAX_STEPS && world.violations.length === 0 && world.agenda.step());
    if (world.agenda.steps >= MAX_STEPS) world.violation('the history does not end');
    if (world.violations.length === 0) this.#judge();
    const { steps } = world.agenda;
    return {
      seed: this.#seed,
      steps,
      requests: world.facts.length,
      violations: world.violations,
    };
  }

  #planMoney(): void {
    const random = this.#random;
    for (const communityId of SIMULATED_COMMUNITIES) {
      const lots = random.between(1, 3);
      for (let i = 0; i < lots; i += 1) {
        // Distinct moments: lots of one moment have no order.
        const atMs = i === 0 ? 0 : i + random.pick([0, 0, 20_000, 130_000]);
        this.#planLot(communityId, atMs);
      }
    }
    if (random.chance(0.1)) {
      const key = random.pick(this.#keys);
      this.#world.after(random.between(0, 60_000), undefined, 'key revoked', () =>
        this.#ledger.revoke(key.id),
      );
    }
  }

  #planLot(communityId: string, atMs: number): void {
    const random = this.#random;
    const lifeMs = random.pick([undefined, undefined, 40_000, 400_000]);
    const amountMicro = BigInt(random.between(50, 900));
    this.#lots += 1;
    const id = `lot${this.#lots}`;
    const { nowMs } = this.#world;
    const expiresAtMs = lifeMs === undefined ? undefined : nowMs + atMs + lifeMs;
    this.#world.after(atMs, undefined, 'lot minted', () =>
      this.#ledger.mint(communityId, { id, amountMicro, expiresAtMs }),
    );
    if (lifeMs === undefined) return;
    // The job that expires lots, now and again.
    for (const laterMs of [random.between(0, 60_000), 600_000]) {
      this.#world.after(atMs + lifeMs + laterMs, undefined, 'lots expire', () =>
        this.#ledger.expire(),
      );
    }
  }

  #planRequests(): void {
    const random = this.#random;
    const world = this.#world;
    const { requests, spreadMs, clientLeaves } = world.scenario;
    for (let n = 1; n <= requests; n += 1) {
      const key = random.pick(this.#keys);
      const request: HoldRequest = {
        reservationId: `r${n}`,
        communityId: key.communityId,
        apiKeyId: key.id,
        nftId: 'nft',
        pool: random.pick(['cheap', 'standard']),
        promptTokens: random.between(10, 2 * COUNTED_ABOVE_TOKENS),
        maxTokens: random.between(1, 300),
      };
      const isStream = random.chance(0.75);
      const leavesAfterMs = random.chance(clientLeaves)
        ? random.pick([5, 50, 500, 5_000, 50_000])
        : undefined;
      const api = random.pick(this.#apis);
      world.after(5 + random.between(0, spreadMs), undefined, 'request', () => {
        // A dead api answers nobody.
        if (api.process.isUp) api.serve(request, isStream, leavesAfterMs);
      });
    }
  }

  #planOutages(): void {
    const { outages } = this.#world.scenario;
    for (let i = 0; i < outages; i += 1) {
      const atMs = this.#random.pick([0, 10, 100, 1_000, 30_000]) + this.#random.between(0, 500);
      const lengthMs = this.#random.pick([500, 5_000, 60_000, 400_000]);
      this.#planOutage(atMs, lengthMs);
    }
  }

  #planOutage(atMs: number, lengthMs: number): void {
    const world = this.#world;
    const random = this.#random;
    const until = (): number => world.nowMs + lengthMs;
    const { process } = random.pick([...this.#apis, ...this.#workers]);
    const plan = (label: string, begin: () => void): void =>
      world.after(atMs, undefined, label, begin);
    switch (random.pick(['ledger', 'cut', 'cut', 'broker', 'store', 'guard', 'forget'])) {
      case 'ledger':
        plan('ledger is down', () => (this.#ledger.downUntilMs = until()));
        return;
      case 'cut':
        plan('a process is cut off the ledger', () => (process.cutOffUntilMs = until()));
        return;
      case 'broker':
        plan('broker is down', () => (this.#broker.downUntilMs = until()));
        return;
      case 'store':
        plan('broker loses its store', () => {
          this.#broker.downUntilMs = world.nowMs + 1_000;
          this.#broker.loseStore();
        });
        return;
      case 'guard':
        plan('replay guard is down', () => (this.#guard.downUntilMs = until()));
        return;
      default:
        plan('replay guard forgets', () => this.#guard.forget());
    }
  }

  /** When all is quiet: every request, and that nothing changes when everything comes once more. */
  #judge(): void {
    const world = this.#world;
    const { model } = this.#ledger;
    for (const fact of world.facts) {
      for (const fault of faultsOfRequest(fact, model, this.#guard.hasForgotten)) {
        world.violation(fault);
      }
    }
    this.#ledger.expire();
    const before = digest(model);
    this.#ledger.expire();
    const again = world.facts.flatMap(({ applied }) => applied.map(({ input }) => input));
    for (const input of again) this.#ledger.repeat([input]);
    for (const reservationId of model.reservations.keys()) {
      const jobs: SettlementInput[] = [
        { reservationId, action: 'orphan' },
        { reservationId, action: 'reconcile' },
      ];
      for (const job of jobs) this.#ledger.repeat([job]);
    }
    if (digest(model) !== before) world.violation('a second delivery changed the books');
  }
}

function digest({ communities, reservations, keys }: LedgerModel): string {
  const parts: unknown[] = [];
  for (const community of communities.values()) {
    parts.push(community.availableMicro, community.heldMicro, community.spentMicro);
    parts.push(community.expiredMicro, community.writtenOffMicro);
    for (const lot of community.lots) parts.push(lot.remainingMicro);
  }
  for (const { status, chargeMicro, settledBy } of reservations.values()) {
    parts.push(status, chargeMicro, settledBy);
  }
  for (const { minuteRequests, dayTokens } of keys.values()) parts.push(minuteRequests, dayTokens);
  return parts.join(' ');
}
