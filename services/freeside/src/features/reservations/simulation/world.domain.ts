import { Agenda, type Process } from './agenda.domain.ts';
import type { Fact } from './facts.domain.ts';
import type { Random } from './random.domain.ts';
import type { Scenario } from './scenario.domain.ts';

/** What a process does about its own end and its next beginning. */
export interface Mortal {
  readonly process: Process;
  onDeath(): void;
  onStart(): void;
}

export interface WorldOptions {
  readonly random: Random;
  readonly scenario: Scenario;
  /** Told of every step, with what is known of it; only where somebody reads it. */
  readonly trace: ((line: string) => void) | undefined;
  /** Counts steps by kind. */
  readonly tally: Map<string, number>;
}

const SECOND_MS = 1_000;
const DAYS_MS = 73 * 60 * 60_000;

/** Time, chance and death: what all actors of a history share. */
export class World {
  readonly random: Random;
  readonly scenario: Scenario;
  readonly agenda: Agenda;
  readonly facts: Fact[] = [];
  readonly violations: string[] = [];
  readonly #trace: WorldOptions['trace'];
  readonly #tally: Map<string, number>;
  readonly #mortals = new Map<Process, Mortal>();

  constructor({ random, scenario, trace, tally }: WorldOptions) {
    this.random = random;
    this.scenario = scenario;
    this.#trace = trace;
    this.#tally = tally;
    this.agenda = new Agenda(scenario.startMs, (process, label) => this.#afterStep(process, label));
  }

  get nowMs(): number {
    return this.agenda.nowMs;
  }

  get isTraced(): boolean {
    return this.#trace !== undefined;
  }

  after(
    delayMs: number,
    process: Process | undefined,
    label: string,
    run: () => void,
    life?: number,
  ): void {
    this.agenda.after(delayMs, process, label, run, life);
  }

  add(mortal: Mortal): void {
    this.#mortals.set(mortal.process, mortal);
  }

  /** Faults happen only while the history is troubled. */
  fault(probability: number): boolean {
    return this.nowMs < this.scenario.healedAtMs && this.random.chance(probability);
  }

  /** Of one message: mostly quick, now and then slow enough to be overtaken by anything. */
  latencyMs(): number {
    if (!this.fault(this.scenario.slowMessage)) return this.random.between(1, 20);
    return this.random.pick([200, 2_000, 12_000]) + this.random.between(0, 999);
  }

  tell(text: string): void {
    this.#trace?.(`${this.#stamp()}   ${text}`);
  }

  violation(text: string): void {
    this.violations.push(text);
    this.tell(`VIOLATION: ${text}`);
  }

  kill(process: Process): void {
    if (!process.isUp) return;
    process.isUp = false;
    process.life += 1;
    process.frozenUntilMs = 0;
    this.#count('death');
    this.tell(`${process.name} dies`);
    this.#mortals.get(process)?.onDeath();
    this.after(this.#absenceMs(process), undefined, 'restart', () => {
      process.isUp = true;
      this.tell(`${process.name} is back`);
      this.#mortals.get(process)?.onStart();
    });
  }

  #absenceMs(process: Process): number {
    const { random, scenario } = this;
    if (!random.chance(scenario.longAbsence)) return random.between(SECOND_MS / 5, 4 * SECOND_MS);
    if (process.name.startsWith('finn') && random.chance(0.05)) return DAYS_MS;
    return random.between(30 * SECOND_MS, 420 * SECOND_MS);
  }

  #afterStep(process: Process | undefined, label: string): void {
    this.#count(label);
    if (this.#trace !== undefined) this.tell(`${process?.name ?? '.'}: ${label}`);
    if (process === undefined || !process.isUp || this.nowMs >= this.scenario.healedAtMs) return;
    const { random, scenario } = this;
    if (random.chance(scenario.death)) {
      this.kill(process);
    } else if (random.chance(scenario.freeze)) {
      process.frozenUntilMs = this.nowMs + random.between(3 * SECOND_MS, 40 * SECOND_MS);
      this.#count('freeze');
      this.tell(`${process.name} is stopped for a while`);
    }
  }

  #count(label: string): void {
    this.#tally.set(label, (this.#tally.get(label) ?? 0) + 1);
  }

  #stamp(): string {
    return `+${((this.nowMs - this.scenario.startMs) / SECOND_MS).toFixed(3).padStart(8)}s`;
  }
}
