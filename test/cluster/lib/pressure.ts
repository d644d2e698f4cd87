import { readFile } from 'node:fs/promises';

const PRESSURE = '/proc/pressure/cpu';
/** Work of our own fills a small machine too, but not for nearly all of the time. */
const STARVED_SHARE = 0.9;

/** How long something on this machine has waited for a processor, as the kernel tells. */
export interface Pressure {
  readonly waitedMs: number;
  readonly atMs: number;
}

/** @returns undefined where the kernel doesn't tell. */
export async function readPressure(): Promise<Pressure | undefined> {
  const text = await readFile(PRESSURE, 'utf8').catch(() => '');
  const waitedUs = /^some .*\btotal=(\d+)/m.exec(text)?.[1];
  if (waitedUs === undefined) return undefined;
  return { waitedMs: Number(waitedUs) / 1000, atMs: performance.now() };
}

/**
 * Between the two looks: from 0 to 1; 0 where it isn't known. With a cluster of this machine's own its
 * nodes wait here; with another's the share is low, and what is measured there is judged.
 */
export function waitingShare(before: Pressure | undefined, after: Pressure | undefined): number {
  if (before === undefined || after === undefined) return 0;
  const elapsedMs = after.atMs - before.atMs;
  return elapsedMs > 0 ? Math.min(1, (after.waitedMs - before.waitedMs) / elapsedMs) : 0;
}

/** A figure that was measured then says nothing about what was measured. */
export function wasStarved(share: number): boolean {
  return share >= STARVED_SHARE;
}
