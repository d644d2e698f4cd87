import { readFile } from 'node:fs/promises';

/** What the whole machine has done so far, in ticks. */
export interface MachineCpu {
  readonly busyTicks: number;
  readonly stolenTicks: number;
  readonly allTicks: number;
}

/** USER_HZ of every Linux that Node runs on. */
export const MS_PER_TICK = 10;

export async function machineCpu(): Promise<MachineCpu> {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n');
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, stolen = 0] =
    fields;
  const busyTicks = user + nice + system + irq + soft;
  return { busyTicks, stolenTicks: stolen, allTicks: busyTicks + stolen + idle + wait };
}
