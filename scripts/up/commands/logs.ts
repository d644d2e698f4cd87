import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { PlainError } from '../../lib/plain-error.ts';
import { formatLogLine, lastLogLines } from '../log-format.ts';
import type { Report } from '../report.ts';
import { PROCESS_NAMES, type Folders, type ProcessName } from '../stack.ts';
import { logFileOf } from '../state.ts';

const LINES_BEFORE = 15;
const POLL_MS = 300;

/** Shows the end of the logs and follows them until ^C; `only` names one process. */
export async function logs(
  folders: Folders,
  report: Report,
  only: string | undefined,
): Promise<never> {
  const names = chosen(only);
  const width = Math.max(...names.map((name) => name.length));
  const tails = names.map((name) => {
    const path = logFileOf(folders, name);
    const print = (line: string): void => {
      report.print(`${name.padEnd(width)} ${report.faint('|')} ${line}`);
    };
    lastLogLines(path, LINES_BEFORE).forEach(print);
    return new Tail(path, print);
  });
  for (;;) {
    for (const tail of tails) tail.read();
    await pause(POLL_MS);
  }
}

function chosen(only: string | undefined): readonly ProcessName[] {
  if (only === undefined) return PROCESS_NAMES;
  const names = PROCESS_NAMES.filter((name) => name === only || name.startsWith(`${only}-`));
  if (names.length > 0) return names;
  throw new PlainError(`There is no process ${only}.`, [
    `Choose from: ${PROCESS_NAMES.join(', ')}`,
  ]);
}

/** Lines that a file gains. A file that shrank was begun anew. */
class Tail {
  readonly #path: string;
  readonly #print: (line: string) => void;
  #offset: number;
  #rest = '';

  constructor(path: string, print: (line: string) => void) {
    this.#path = path;
    this.#print = print;
    this.#offset = sizeOf(path);
  }

  read(): void {
    const size = sizeOf(this.#path);
    if (size < this.#offset) this.#offset = 0;
    if (size === this.#offset) return;
    const bytes = Buffer.alloc(Math.min(size - this.#offset, 1_048_576));
    const file = openSync(this.#path, 'r');
    const read = readSync(file, bytes, 0, bytes.length, this.#offset);
    closeSync(file);
    this.#offset += read;
    const lines = (this.#rest + bytes.toString('utf8', 0, read)).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#print(formatLogLine(line));
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}
