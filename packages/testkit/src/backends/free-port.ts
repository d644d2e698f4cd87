import { randomInt } from 'node:crypto';
import { connect, createServer } from 'node:net';

/**
 * Below the range from which Linux takes ports for outgoing connections (32768 and up): a port
 * from there could be taken before the server binds it. Above what `make up` uses.
 */
const FIRST_PORT = 20_000;
/** Thirty-one ranges of 400: up to 32,399. */
const RANGES = 31;
const RANGE_PORTS = 400;

export async function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}

/**
 * Seconds may pass between our look at a port and the bind of the server that it is for. So no port is
 * given out twice until all of the range were, and test files that run at the same time, each in a
 * worker of its own, look in different ranges.
 */
const range =
  process.env.VITEST_WORKER_ID === undefined
    ? randomInt(RANGES)
    : Number(process.env.VITEST_WORKER_ID) % RANGES;
let drawn = randomInt(RANGE_PORTS);

/** A port on 127.0.0.1 that nobody listens on at this moment, and that was given to nobody else. */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < RANGE_PORTS; attempt += 1) {
    drawn = (drawn + 1) % RANGE_PORTS;
    const port = FIRST_PORT + range * RANGE_PORTS + drawn;
    if (await isPortFree(port)) return port;
  }
  throw new Error(`no port of ${RANGE_PORTS} is free`);
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
