import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { findFreePort } from '../backends/free-port.ts';

export interface TcpRelay {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** Connections open at this moment. */
  readonly connections: number;
  /** Resets every connection and refuses new ones, as when the other machine is gone. */
  cut(): Promise<void>;
  /** Resets every connection, but goes on serving new ones. */
  reset(): void;
  /** Each piece of data, in both directions, arrives that much later. */
  delay(delayMs: number): void;
  /** Accepts and keeps connections, but nothing arrives any more, as behind a dead firewall. */
  blackHole(): void;
  /** Nothing arrives any more on the connections that are open now; new ones are served. */
  strand(): void;
  /** Back to normal. What was swallowed meanwhile is handed on. */
  restore(): Promise<void>;
  /** Where new connections go from now on. */
  retarget(port: number): void;
  close(): Promise<void>;
}

export interface TcpRelayOptions {
  /** A port on 127.0.0.1. */
  readonly targetPort: number;
}

/** A wire between a client and a server of a test, which the test can cut, slow down and mend. */
export async function startTcpRelay(options: TcpRelayOptions): Promise<TcpRelay> {
  const relay = new Wire(options.targetPort, await findFreePort());
  await relay.restore();
  return relay;
}

const MAX_QUEUED_BYTES = 1024 * 1024;

class Wire implements TcpRelay {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly #sockets = new Set<Socket>();
  readonly #stranded = new WeakSet<Socket>();
  #server: Server | undefined;
  #targetPort: number;
  #delayMs = 0;
  #open: Promise<void> = Promise.resolve();
  #openUp: (() => void) | undefined;

  constructor(targetPort: number, port: number) {
    this.#targetPort = targetPort;
    this.port = port;
  }

  get connections(): number {
    return this.#sockets.size / 2;
  }

  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed =
      server === undefined
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            server.close(() => resolve());
          });
    this.reset();
    await closed;
  }

  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  delay(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  blackHole(): void {
    this.#open = new Promise((resolve) => {
      this.#openUp = resolve;
    });
  }

  strand(): void {
    for (const socket of this.#sockets) this.#stranded.add(socket);
  }

  async restore(): Promise<void> {
    this.#delayMs = 0;
    this.#openUp?.();
    this.#openUp = undefined;
    if (this.#server !== undefined) return;
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) =>
      this.#join(client),
    );
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port: this.port, host: this.host }, resolve);
    });
    this.#server = server;
  }

  retarget(port: number): void {
    this.#targetPort = port;
  }

  async close(): Promise<void> {
    await this.cut();
    this.#openUp?.();
  }

  #join(client: Socket): void {
    const target = connect({
      port: this.#targetPort,
      host: this.host,
      noDelay: true,
      allowHalfOpen: true,
    });
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => to.resetAndDestroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        // A reset is passed on as one; an orderly end has been passed on by the pump.
        if (!from.readableEnded) to.resetAndDestroy();
      });
      this.#pump(from, to);
    }
  }

  /** Hands on what arrives, in order, each piece as much later as the delay was on its arrival. */
  #pump(from: Socket, to: Socket): void {
    let queuedBytes = 0;
    let queue = Promise.resolve();
    const deliver = async (data: Buffer, due: number): Promise<void> => {
      const early = due - performance.now();
      if (early > 0) await pause(early);
      await this.#open;
      if (this.#stranded.has(from)) return;
      if (!to.destroyed && !to.write(data)) await drained(to);
      queuedBytes -= data.length;
      if (queuedBytes <= MAX_QUEUED_BYTES) from.resume();
    };
    from.on('data', (data: Buffer) => {
      const due = performance.now() + this.#delayMs;
      queuedBytes += data.length;
      // As a real wire: a sender whose data goes nowhere is stopped after a while.
      if (queuedBytes > MAX_QUEUED_BYTES) from.pause();
      queue = queue.then(() => deliver(data, due));
    });
    from.on('end', () => {
      queue = queue.then(() => this.#open).then(() => void to.end());
    });
  }
}

async function drained(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.once('drain', resolve);
    socket.once('close', resolve);
  });
}
