import { readdir, readFile } from 'node:fs/promises';
import { MS_PER_TICK } from './machine-cpu.ts';

const KIB_PER_PAGE = 4;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** User and system time of its own. */
  readonly ownMs: number;
  /** That of children that have ended and were waited for. */
  readonly endedChildrenMs: number;
  readonly rssKib: number;
}

/** Processes by what they are to the reader: `api`, `postgres`. A root stands for its descendants. */
export type ProcessGroups = Readonly<Record<string, number>>;

export interface Usage {
  readonly cpuMs: number;
  readonly rssMib: number;
}

/**
 * CPU time so far and resident memory of each group. PostgreSQL forks, so whole trees are counted,
 * also what has ended meanwhile. Shared pages count once a process.
 * @throws Error where there is no `/proc`, or a root is gone: a figure without it would be too good.
 */
export async function usageOf(groups: ProcessGroups): Promise<Record<string, Usage>> {
  const stats = await readAll();
  return Object.fromEntries(
    Object.entries(groups).map(([name, root]) => {
      const tree = descendants(stats, root);
      if (tree.length === 0) throw new Error(`${name} (process ${root}) is gone`);
      return [
        name,
        {
          cpuMs: tree.reduce((sum, one) => sum + one.ownMs + one.endedChildrenMs, 0),
          rssMib: tree.reduce((sum, one) => sum + one.rssKib, 0) / 1024,
        },
      ];
    }),
  );
}

/** What each group has used between two readings, in milliseconds. */
export function cpuBetween(
  before: Readonly<Record<string, Usage>>,
  after: Readonly<Record<string, Usage>>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([name, usage]) => [name, usage.cpuMs - (before[name]?.cpuMs ?? 0)]),
  );
}

async function readAll(): Promise<Stat[]> {
  const names = await readdir('/proc').catch(() => []);
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const stats = await Promise.all(pids.map(readStat));
  return stats.filter((stat) => stat !== undefined);
}

async function readStat(pid: number): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The name of the process, in parentheses, may hold blanks; fields are counted behind it.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const field = (index: number): number => fields[index] ?? 0;
  return {
    pid,
    parent: field(1),
    ownMs: (field(11) + field(12)) * MS_PER_TICK,
    endedChildrenMs: (field(13) + field(14)) * MS_PER_TICK,
    rssKib: field(21) * KIB_PER_PAGE,
  };
}

function descendants(stats: readonly Stat[], root: number): Stat[] {
  const found = stats.filter(({ pid }) => pid === root);
  for (const stat of found) found.push(...stats.filter(({ parent }) => parent === stat.pid));
  return found;
}
