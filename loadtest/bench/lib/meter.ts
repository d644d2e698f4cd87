import { MS_PER_TICK, machineCpu, type MachineCpu } from './machine-cpu.ts';
import { cpuBetween, usageOf, type ProcessGroups, type Usage } from './process-cpu.ts';

/** What happened between two readings. */
export interface MeterReading {
  /** CPU time of each group, in milliseconds. */
  readonly cpuMs: Readonly<Record<string, number>>;
  /** Resident memory of each group at the end. */
  readonly rssMib: Readonly<Record<string, number>>;
  /** What nobody in the groups used, and what the hypervisor took: the noise of this measurement. */
  readonly othersPercent: number;
}

/** Reads processes and machine before and after. */
export class Meter {
  readonly #groups: ProcessGroups;
  #usage: Record<string, Usage> = {};
  #machine: MachineCpu = { busyTicks: 0, stolenTicks: 0, allTicks: 0 };

  constructor(groups: ProcessGroups) {
    this.#groups = groups;
  }

  async begin(): Promise<void> {
    this.#usage = await usageOf(this.#groups);
    this.#machine = await machineCpu();
  }

  async end(): Promise<MeterReading> {
    const [machine, usage] = [await machineCpu(), await usageOf(this.#groups)];
    const cpuMs = cpuBetween(this.#usage, usage);
    const oursTicks = Object.values(cpuMs).reduce((sum, ms) => sum + ms, 0) / MS_PER_TICK;
    const busy = machine.busyTicks - this.#machine.busyTicks;
    const stolen = machine.stolenTicks - this.#machine.stolenTicks;
    const all = machine.allTicks - this.#machine.allTicks;
    return {
      cpuMs,
      rssMib: Object.fromEntries(Object.entries(usage).map(([name, one]) => [name, one.rssMib])),
      othersPercent: (100 * (Math.max(0, busy - oursTicks) + stolen)) / Math.max(1, all),
    };
  }
}
