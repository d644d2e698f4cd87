import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/**
 * When a process was started, as an opaque text: with the pid it names one process for ever, where
 * the pid alone soon belongs to another. Undefined when there is no such process, or it is dead and
 * only waits for its parent to notice.
 */
export async function processStartTime(pid: number): Promise<string | undefined> {
  return process.platform === 'linux' ? startTimeFromProc(pid) : startTimeFromPs(pid);
}

async function startTimeFromProc(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8');
    const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    // The second field is the program's name and may hold blanks and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const threads = Number(fields[17]);
    const startTicks = fields[19];
    // A killed server's first thread is a zombie while others still hold its sockets and files.
    const dead = state === 'X' || (state === 'Z' && threads <= 1);
    if (dead || startTicks === undefined) return undefined;
    return `${bootId.trim()}/${startTicks}`;
  } catch {
    return undefined;
  }
}

async function startTimeFromPs(pid: number): Promise<string | undefined> {
  try {
    const args = ['-o', 'stat=,lstart=', '-p', String(pid)];
    const { stdout } = await execFileAsync('ps', args, { env: { LC_ALL: 'C' } });
    const [state = 'Z', ...start] = stdout.trim().split(/\s+/);
    return state.startsWith('Z') ? undefined : start.join(' ');
  } catch {
    return undefined;
  }
}

/** The command line of a process; empty when there is none. */
export async function commandLine(pid: number): Promise<string> {
  try {
    const { stdout } = await execFileAsync('ps', ['-ww', '-o', 'args=', '-p', String(pid)]);
    return stdout.trim();
  } catch {
    return '';
  }
}
