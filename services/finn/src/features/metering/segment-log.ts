import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { SegmentText } from './journal.domain.ts';

const NUMBER_DIGITS = 12;

/**
 * Append-only files `<name>-<number>.journal`, written synchronously and not synced: what is
 * written survives the death of the process, not that of the machine.
 */
export class SegmentLog {
  readonly #dir: string;
  readonly #name: string;
  readonly #sizes = new Map<number, number>();
  #fd: number | undefined;
  #active: number;
  #isTorn = false;

  constructor(dir: string, name: string) {
    this.#dir = dir;
    this.#name = name;
    const found = this.#list();
    for (const segment of found) {
      this.#sizes.set(segment, fileSize(this.#path(segment)));
    }
    this.#active = found.at(-1) ?? 0;
  }

  /** All segments together. */
  get bytes(): number {
    let sum = 0;
    for (const size of this.#sizes.values()) sum += size;
    return sum;
  }

  get activeSegment(): number {
    return this.#active;
  }

  get activeBytes(): number {
    return this.#fd === undefined ? 0 : this.sizeOf(this.#active);
  }

  /** Oldest first, without the one that is written to. */
  get sealedSegments(): number[] {
    const segments = [...this.#sizes.keys()];
    return this.#fd === undefined ? segments : segments.filter((each) => each !== this.#active);
  }

  sizeOf(segment: number): number {
    return this.#sizes.get(segment) ?? 0;
  }

  readAll(): SegmentText[] {
    return [...this.#sizes.keys()].map((segment) => ({
      segment,
      text: readFileSync(this.#path(segment), 'utf8'),
    }));
  }

  /**
   * Writes whole lines to the active segment.
   *
   * @throws the file system's error; a part may have been written, which readers skip.
   */
  append(lines: string): void {
    this.#fd ??= this.#open(this.#active + 1);
    const bytes = Buffer.from(this.#isTorn ? `\n${lines}` : lines);
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(this.#fd, bytes, written);
      this.#isTorn = false;
    } catch (error) {
      this.#isTorn ||= written > 0;
      throw error;
    } finally {
      this.#sizes.set(this.#active, this.activeBytes + written);
    }
  }

  /** The next line goes to a new segment. @throws the file system's error; nothing has changed. */
  rotate(): void {
    const previous = this.#fd;
    this.#fd = this.#open(this.#active + 1);
    this.#isTorn = false;
    if (previous !== undefined) closeSync(previous);
  }

  /** Deletes sealed segments. */
  drop(segments: readonly number[]): void {
    for (const segment of segments) {
      unlinkSync(this.#path(segment));
      this.#sizes.delete(segment);
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(segment: number): number {
    const { O_CREAT, O_EXCL, O_WRONLY, O_APPEND } = constants;
    const fd = openSync(this.#path(segment), O_CREAT | O_EXCL | O_WRONLY | O_APPEND, 0o600);
    this.#active = segment;
    this.#sizes.set(segment, 0);
    return fd;
  }

  #path(segment: number): string {
    const number = String(segment).padStart(NUMBER_DIGITS, '0');
    return join(this.#dir, `${this.#name}-${number}.journal`);
  }

  #list(): number[] {
    const pattern = new RegExp(`^${this.#name}-(\\d{${String(NUMBER_DIGITS)}})\\.journal$`);
    return readdirSync(this.#dir)
      .map((file) => pattern.exec(file)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number)
      .sort((a, b) => a - b);
  }
}

function fileSize(path: string): number {
  const fd = openSync(path, 'r');
  try {
    return fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
}
