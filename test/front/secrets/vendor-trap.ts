import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a vendor may do that a well-behaved one never does, each with something to leak in it. */
export type TrapMode =
  'redirect' | 'unauthorized' | 'error' | 'garbage' | 'bad-event' | 'error-event' | 'bad-head';

export const TRAP_MODES: readonly TrapMode[] = [
  'redirect',
  'unauthorized',
  'error',
  'garbage',
  'bad-head',
  'bad-event',
  'error-event',
];

export interface VendorTrap {
  /** With `/v1`; a vendor of its own for each mode, or a breaker would soon protect us from all. */
  baseUrl(mode: TrapMode): string;
  /** Modes that were met, to see that each trap was walked into. */
  readonly met: ReadonlySet<TrapMode>;
  close(): Promise<void>;
}

/** A vendor whose every answer repeats `bait`: in the status line, in headers and in the body. */
export async function startVendorTrap(bait: string): Promise<VendorTrap> {
  const met = new Set<TrapMode>();
  const server = createServer((request, response) => {
    const [, segment = ''] = (request.url ?? '').split('/');
    const mode = TRAP_MODES.find((one) => one === segment) ?? 'error';
    met.add(mode);
    request.resume();
    spring(mode, bait, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: (mode) => `http://127.0.0.1:${String(port)}/${mode}/v1`,
    met,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers as `mode` says, with `bait` in each part. */
export function spring(mode: TrapMode, bait: string, response: ServerResponse): void {
  const stream = { 'content-type': 'text/event-stream', 'x-request-id': bait };
  const json = { 'content-type': 'application/json', 'x-request-id': bait, server: bait };
  const body = JSON.stringify({ error: { message: bait, type: bait, code: bait, param: bait } });
  const chunk = `data: {"choices":[{"index":0,"delta":{"content":"Well"},"finish_reason":null}]}\n\n`;
  switch (mode) {
    case 'redirect':
      response.writeHead(307, bait, { location: `http://127.0.0.1:9/${bait}?key=${bait}` }).end();
      return;
    case 'unauthorized':
      response.writeHead(401, bait, { ...json, 'www-authenticate': `Bearer error="${bait}"` });
      response.end(body);
      return;
    case 'error':
      response.writeHead(500, bait, json).end(body);
      return;
    case 'garbage':
      response.writeHead(200, json).end(`<html>${bait}</html>`);
      return;
    case 'bad-event':
      response.writeHead(200, stream).end(`${chunk}event: ${bait}\ndata: {${bait}\n\n`);
      return;
    case 'error-event':
      response.writeHead(200, stream).end(`${chunk}data: ${body}\n\n`);
      return;
    case 'bad-head':
      response.socket?.end(`HTTP/1.1 200 OK\r\nx-bait ${bait}\r\n\r\n${bait}`);
      return;
  }
}
