import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** One TCP connection that sends bytes as they are: no client library tidies up the attack. */
export class RawConnection {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  readonly #openedAtMs = performance.now();
  readonly #closed: Promise<number>;
  bytesReceived = 0;

  /** @param localAddress of the loopback network, to come from elsewhere than the others */
  constructor(url: string, localAddress?: string) {
    const { hostname, port } = new URL(url);
    this.socket = connect({
      host: hostname,
      port: Number(port),
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    // A refused or reset connection shows as one that is closed.
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk: Buffer) => {
      this.bytesReceived += chunk.length;
      this.#chunks.push(chunk);
    });
    this.#closed = new Promise((resolve) => {
      this.socket.once('close', () => resolve(performance.now() - this.#openedAtMs));
    });
  }

  send(bytes: string | Buffer): this {
    if (!this.socket.destroyed) this.socket.write(toBytes(bytes));
    return this;
  }

  get isClosed(): boolean {
    return this.socket.destroyed;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }

  /** Resolves when the server has closed it, with the milliseconds that it was open. */
  async closed(deadlineMs: number): Promise<number> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('the connection stayed open')), deadlineMs);
    });
    try {
      return await Promise.race([this.#closed, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Sends bytes and returns everything that the server answered until it closed the connection. */
export async function exchange(url: string, bytes: string | Buffer): Promise<Answer[]> {
  const connection = new RawConnection(url).send(bytes);
  try {
    await connection.closed(10_000);
    return parseAnswers(connection.text);
  } finally {
    connection.destroy();
  }
}

/** The head of a request; `undefined` lines are left out. */
export function head(line: string, ...headers: readonly (string | undefined)[]): string {
  return [line, 'Host: arrakis', ...headers.filter((one) => one !== undefined), '', ''].join(
    '\r\n',
  );
}

/** A character is a byte, unless it needs more. */
export function toBytes(bytes: string | Buffer): Buffer {
  if (typeof bytes !== 'string') return bytes;
  return Buffer.from(bytes, /[^\0-\xff]/.test(bytes) ? 'utf8' : 'latin1');
}

/** @throws Error when the bytes are not a sequence of whole HTTP/1.1 answers. */
export function parseAnswers(text: string): Answer[] {
  const answers: Answer[] = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]);
    if (end === -1 || Number.isNaN(status)) throw new Error(`no answer: ${rest.slice(0, 200)}`);
    const headers = Object.fromEntries(lines.map(readHeader));
    // Ours are JSON, whose bytes are counted; only ASCII is asked for here.
    const length = Number(headers['content-length'] ?? '0');
    answers.push({ status, headers, body: rest.slice(end + 4, end + 4 + length) });
    rest = rest.slice(end + 4 + length);
  }
  return answers;
}

function readHeader(line: string): [string, string] {
  const at = line.indexOf(':');
  return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
}
