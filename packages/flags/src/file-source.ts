import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FLAG_NAMES } from '@arrakis/contracts';
import { readTexts, type Statement } from './document.domain.ts';

/** What a directory said at one look. */
export interface FileReading {
  /** Undefined when no flag has a usable file. */
  readonly statement: Statement | undefined;
  /** By name, why a file was not believed. */
  readonly refused: Readonly<Record<string, string>>;
}

export interface FileSourceOptions {
  /** A mounted ConfigMap: one file a flag, named as the flag, holding `true` or `false`. */
  readonly dir: string;
  readonly onReading: (reading: FileReading) => void;
  /** Default 1 s. */
  readonly intervalMs?: number;
}

const DEFAULT_INTERVAL_MS = 1_000;
/** Longer than any good value; a larger file is refused without being read. */
const MAX_FILE_BYTES = 64;

/**
 * Looks at the directory once a second. A ConfigMap is mounted as links that are swapped as a
 * whole, which file watchers miss: so it is read, not watched.
 */
export class FileSource {
  readonly #options: FileSourceOptions;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: FileSourceOptions) {
    this.#options = options;
  }

  /** Resolves after the first look; goes on until `close()`. Never rejects. */
  async start(): Promise<void> {
    await this.#look();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const reading = await readDirectory(this.#options.dir);
    if (this.#isClosed) return;
    this.#options.onReading(reading);
    const intervalMs = this.#options.intervalMs ?? DEFAULT_INTERVAL_MS;
    this.#timer = setTimeout(() => void this.#look(), intervalMs);
    // No reason for a process to stay alive.
    this.#timer.unref();
  }
}

interface FlagFile {
  readonly name: string;
  readonly text: string;
  readonly changedAtMs: number;
}

/** Never rejects: what can't be read says nothing. */
async function readDirectory(dir: string): Promise<FileReading> {
  const files = (await Promise.all(FLAG_NAMES.map((name) => readFlagFile(dir, name)))).filter(
    (file) => file !== undefined,
  );
  const texts = Object.fromEntries(files.map(({ name, text }) => [name, text]));
  const { values, refused } = readTexts(texts);
  if (Object.keys(values).length === 0) return { statement: undefined, refused };
  const changedAtMs = Math.max(...files.map((file) => file.changedAtMs));
  return { statement: { values, changedAtMs }, refused };
}

async function readFlagFile(dir: string, name: string): Promise<FlagFile | undefined> {
  const path = join(dir, name);
  try {
    // Follows links, so the time is that of the mounted version.
    const { mtimeMs, size } = await stat(path);
    const text = size > MAX_FILE_BYTES ? '' : await readFile(path, 'utf8');
    return { name, text, changedAtMs: mtimeMs };
  } catch {
    return undefined;
  }
}
