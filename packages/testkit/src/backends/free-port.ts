import { randomInt } from 'node:crypto';
import { connect, createServer } from 'node:net';

/**
 * Below the range from which Linux takes ports for outgoing connections (32768 and up): a port
 * from there could be taken between our look and the server's bind. Above what `make up` uses.
 */
const FIRST_PORT = 20_000;
const END_PORT = 32_768;

export async function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}

/** A port on 127.0.0.1 that nobody listens on at this moment. */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = randomInt(FIRST_PORT, END_PORT);
    if (await isPortFree(port)) return port;
  }
  throw new Error(`no free port found between ${FIRST_PORT} and ${END_PORT - 1}`);
}

/** Rejects unless something on 127.0.0.1 accepts a connection at that port. */
export async function assertListening(port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}
