/** One server-sent event, as far as a relay needs it. */
export interface SseEvent {
  /** Value of `id:` when it is a plain non-negative integer. */
  readonly id: number | undefined;
  /** Bytes of the `data:` field. Valid as long as the chunk they came in. */
  readonly data: Buffer;
}

/** Larger events are a fault of the sender: one event never holds more than one answer. */
const MAX_EVENT_BYTES = 1024 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const DATA = Buffer.from('data:');
const ID = Buffer.from('id:');
const NO_BYTES = Buffer.alloc(0);

export class SseOverflowError extends Error {
  constructor() {
    super('a server-sent event exceeds its bound');
    this.name = 'SseOverflowError';
  }
}

/**
 * Finds the events in a byte stream that may be cut anywhere, without turning the stream into
 * strings. Lines end with LF or CRLF; the sender is our own and never ends one with a lone CR.
 */
export class SseScanner {
  readonly #onEvent: (event: SseEvent) => void;
  /** Bytes behind the last event boundary, and how many of them were scanned for line ends. */
  #carry: Buffer = NO_BYTES;
  #scanned = 0;
  #lineStart = 0;
  #id: number | undefined;
  #data: Buffer | undefined;

  constructor(onEvent: (event: SseEvent) => void) {
    this.#onEvent = onEvent;
  }

  /**
   * Reads a chunk and reports each event it completes.
   *
   * @returns the bytes, unchanged, from the last boundary before the call to the last one within
   * it; empty when the chunk completes no event.
   * @throws SseOverflowError when an event grows beyond its bound.
   */
  push(chunk: Buffer): Buffer {
    const bytes = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk]);
    let boundary = 0;
    for (let end = bytes.indexOf(LF, this.#scanned); end !== -1; end = bytes.indexOf(LF, end + 1)) {
      const line = lineOf(bytes, this.#lineStart, end);
      this.#lineStart = end + 1;
      if (line.length > 0) {
        this.#readField(line);
        continue;
      }
      boundary = end + 1;
      this.#dispatch();
    }
    return this.#keepBehind(bytes, boundary);
  }

  #keepBehind(bytes: Buffer, boundary: number): Buffer {
    this.#carry = bytes.subarray(boundary);
    if (this.#carry.length > MAX_EVENT_BYTES) throw new SseOverflowError();
    this.#scanned = this.#carry.length;
    this.#lineStart -= boundary;
    return bytes.subarray(0, boundary);
  }

  #readField(line: Buffer): void {
    if (startsWith(line, DATA)) {
      const value = valueOf(line, DATA.length);
      this.#data =
        this.#data === undefined ? value : Buffer.concat([this.#data, Buffer.from('\n'), value]);
    } else if (startsWith(line, ID)) {
      this.#id = readInteger(valueOf(line, ID.length));
    }
  }

  #dispatch(): void {
    const id = this.#id;
    const data = this.#data;
    this.#id = undefined;
    this.#data = undefined;
    if (data !== undefined) this.#onEvent({ id, data });
  }
}

function lineOf(bytes: Buffer, start: number, end: number): Buffer {
  return bytes.subarray(start, end > start && bytes[end - 1] === CR ? end - 1 : end);
}

function startsWith(line: Buffer, prefix: Buffer): boolean {
  if (line.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i += 1) if (line[i] !== prefix[i]) return false;
  return true;
}

function valueOf(line: Buffer, from: number): Buffer {
  return line.subarray(line[from] === SPACE ? from + 1 : from);
}

function readInteger(digits: Buffer): number | undefined {
  if (digits.length === 0 || digits.length > 15) return undefined;
  let value = 0;
  for (const byte of digits) {
    if (byte < 0x30 || byte > 0x39) return undefined;
    value = value * 10 + (byte - 0x30);
  }
  return value;
}
