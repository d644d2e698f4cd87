import { request } from 'node:http';
import { connect } from 'node:net';

export interface Answer {
  /** 0 when the connection ended without one. */
  readonly status: number;
  /** Status line, headers and body. */
  readonly text: string;
}

export interface Ask {
  readonly method?: string;
  /** As it goes over the wire, query included. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** One request on a connection of its own; whatever comes back is the answer. */
export function ask(baseUrl: string, { method, path, headers = {}, body }: Ask): Promise<Answer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const none = (): void => resolve({ status: 0, text: '' });
    const outgoing = request(
      baseUrl,
      { path, method: method ?? (body === undefined ? 'GET' : 'POST'), headers, agent: false },
      (response) => {
        const { statusCode = 0, statusMessage = '', rawHeaders } = response;
        const head = `${String(statusCode)} ${statusMessage}\n${rawHeaders.join('\n')}\n\n`;
        const done = (): void =>
          resolve({ status: statusCode, text: head + Buffer.concat(chunks).toString('latin1') });
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', done);
        response.on('error', done);
      },
    );
    outgoing.on('error', none);
    outgoing.end(body);
  });
}

/** Bytes that no HTTP library would send. */
export function askRaw(baseUrl: string, bytes: string): Promise<Answer> {
  const { hostname, port } = new URL(baseUrl);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(bytes));
    const chunks: Buffer[] = [];
    socket.setTimeout(5_000, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      const text = Buffer.concat(chunks).toString('latin1');
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), text });
    });
  });
}
