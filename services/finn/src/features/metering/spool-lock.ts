import { execFileSync } from 'node:child_process';
import {
  linkSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Value } from 'typebox/value';

const Owner = Type.Object({ pid: Type.Integer(), startedAt: Type.String() });

/** Directories locked by this very process, which its own pid can't tell from a predecessor. */
const held = new Set<string>();

export class SpoolLockedError extends Error {
  constructor(pid: number) {
    super(`the spool directory is in use by process ${String(pid)}: give each finn its own`);
    this.name = 'SpoolLockedError';
  }
}

/**
 * Takes the directory for this process; the returned function gives it back.
 *
 * The owner is known by pid and start time, because pids come again. A lock with our own pid is a
 * predecessor's: in a container every process is number 1. Containers can't see each other's
 * processes, so a volume must not be shared between two of them.
 *
 * @throws SpoolLockedError when a live process holds it.
 */
export function lockSpool(dir: string): () => void {
  const key = realpathSync(dir);
  if (held.has(key)) throw new SpoolLockedError(process.pid);
  const path = join(dir, 'lock');
  const own = join(dir, `lock.${String(process.pid)}`);
  writeFileSync(own, JSON.stringify({ pid: process.pid, startedAt: startTime(process.pid) }));
  try {
    // A link appears whole or not at all, and never over another.
    while (!tryLink(own, path)) removeStale(path, `${own}.stale`);
  } finally {
    unlinkSync(own);
  }
  held.add(key);
  return () => {
    held.delete(key);
    rmSync(path, { force: true });
  };
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Moves the lock aside before judging it, so that two newcomers can't both remove it. */
function removeStale(path: string, aside: string): void {
  assertStale(read(path));
  try {
    renameSync(path, aside);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  try {
    assertStale(read(aside));
  } catch (error) {
    // Between the two looks another newcomer had taken it: it is theirs.
    tryLink(aside, path);
    throw error;
  } finally {
    unlinkSync(aside);
  }
}

function assertStale(text: string): void {
  const owner = parse(text);
  if (owner === undefined || owner.pid === process.pid) return;
  const startedAt = startTime(owner.pid);
  if (startedAt !== '' && startedAt === owner.startedAt) throw new SpoolLockedError(owner.pid);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  }
}

function parse(text: string): { pid: number; startedAt: string } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(Owner, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** When a process began, in whatever unit the system has; empty when there is none. */
function startTime(pid: number): string {
  try {
    return process.platform === 'linux'
      ? linuxStartTime(pid)
      : execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

/** Field 22 of /proc/<pid>/stat, in ticks since boot; the name before it may hold anything. */
function linuxStartTime(pid: number): string {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const isZombie = afterName[0] === 'Z';
  return isZombie ? '' : (afterName[19] ?? '');
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
