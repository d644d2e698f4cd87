import { readFile } from 'node:fs/promises';

/** Something else listens on the port that a backend was told to use. */
export class PortBusyError extends Error {
  readonly port: number;

  constructor(init: { backend: string; port: number; setting: string }) {
    const { backend, port, setting } = init;
    super(
      `Port ${port} of ${backend} is in use by another program. Stop that program, or choose another port with ${setting}.`,
    );
    this.name = 'PortBusyError';
    this.port = port;
  }
}

/** The file system that holds a backend's data has no room left. */
export class DiskFullError extends Error {
  constructor(init: { backend: string; dir: string; cause?: unknown }) {
    super(
      `The disk is full: ${init.backend} cannot write to ${init.dir}. Free some space there and start again; nothing was lost.`,
      { cause: init.cause },
    );
    this.name = 'DiskFullError';
  }
}

/** A backend did not come up. The message carries the end of its log and where the rest is. */
export class BackendStartError extends Error {
  constructor(init: { backend: string; reason: string; logFile: string; logTail?: string }) {
    const tail = init.logTail === undefined || init.logTail === '' ? '' : `\n${init.logTail}`;
    super(`${init.backend} did not start: ${init.reason}. Its log is ${init.logFile}${tail}`);
    this.name = 'BackendStartError';
  }
}

/** Turns a file system's ENOSPC or EDQUOT into a sentence; other errors come back unchanged. */
export function explainDiskFull(error: unknown, backend: string, dir: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new DiskFullError({ backend, dir, cause: error });
}

const DISK_FULL = /no space left on device|disk quota exceeded/i;
const PORT_BUSY = /address already in use/i;

export interface StartFailure {
  readonly backend: string;
  readonly dir: string;
  readonly reason: string;
  readonly logFile: string;
  /** Bytes of the log that belong to earlier runs. */
  readonly logOffset: number;
  readonly port: number;
  readonly setting: string;
}

/** The plainest error that the log of a failed start supports. */
export async function explainStart(failure: StartFailure): Promise<Error> {
  const log = await readFile(failure.logFile).catch(() => Buffer.alloc(0));
  const text = log.subarray(failure.logOffset).toString('utf8');
  if (DISK_FULL.test(text)) return new DiskFullError(failure);
  if (PORT_BUSY.test(text)) return new PortBusyError(failure);
  const logTail = text.trimEnd().split('\n').slice(-8).join('\n');
  return new BackendStartError({ ...failure, logTail });
}
