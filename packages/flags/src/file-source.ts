import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FLAGS_BUCKET, FLAGS_TOLD_FILE, FLAG_NAMES } from '@arrakis/contracts';
import { readDirectory, readDocument, readTexts, type Statement } from './document.domain.ts';

/** What a directory said at one look. */
export interface FileReading {
  /** Undefined when no flag has a usable file. */
  readonly statement: Statement | undefined;
  /** By name, why a file was not believed. */
  readonly refused: Readonly<Record<string, string>>;
}

export interface FileSourceOptions {
  /**
   * A mounted ConfigMap: one file a flag, named as the flag, holding `true` or `false`; beside them
   * perhaps `told.json`, the document that says the same and since when.
   */
  readonly dir: string;
  readonly onReading: (reading: FileReading) => void;
  /** Default 1 s. */
  readonly intervalMs?: number;
}

const DEFAULT_INTERVAL_MS = 1_000;
/** Longer than any good value; a larger file is refused without being read. */
const MAX_FLAG_BYTES = 64;

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
    const reading = await readFiles(this.#options.dir);
    if (this.#isClosed) return;
    this.#options.onReading(reading);
    const intervalMs = this.#options.intervalMs ?? DEFAULT_INTERVAL_MS;
    this.#timer = setTimeout(() => void this.#look(), intervalMs);
    // No reason for a process to stay alive.
    this.#timer.unref();
  }
}

interface ReadFile {
  readonly text: string;
  readonly writtenAtMs: number;
}

/** Never rejects: what can't be read says nothing. */
async function readFiles(dir: string): Promise<FileReading> {
  const [told, ...files] = await Promise.all([
    readSmall(join(dir, FLAGS_TOLD_FILE), FLAGS_BUCKET.maxValueBytes),
    ...FLAG_NAMES.map(async (name) => ({
      name,
      file: await readSmall(join(dir, name), MAX_FLAG_BYTES),
    })),
  ]);
  const found = files.flatMap(({ name, file }) => (file === undefined ? [] : [{ name, ...file }]));
  const reading = readTexts(Object.fromEntries(found.map(({ name, text }) => [name, text])));
  const document = told === undefined ? undefined : readDocument(told.text);
  const writtenAtMs = Math.max(...found.map((file) => file.writtenAtMs));
  return {
    statement: readDirectory(reading, document, writtenAtMs),
    refused: reading.refused,
  };
}

/** A larger one counts as empty. */
async function readSmall(path: string, maxBytes: number): Promise<ReadFile | undefined> {
  try {
    // Follows links, so the time is that of the mounted version.
    const { mtimeMs, size } = await stat(path);
    const text = size > maxBytes ? '' : await readFile(path, 'utf8');
    return { text, writtenAtMs: mtimeMs };
  } catch {
    return undefined;
  }
}
