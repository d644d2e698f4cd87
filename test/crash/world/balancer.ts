import { get } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { findFreePort } from '@arrakis/testkit';

export interface BalancerMember {
  readonly name: string;
  readonly url: string;
  readonly adminUrl: string;
}

export interface Balancer {
  readonly port: number;
  /** From now on connections go to these, in turn, as far as they are ready. */
  serve(members: readonly BalancerMember[]): void;
  close(): Promise<void>;
}

const PROBE_EVERY_MS = 250;
const PROBE_TIMEOUT_MS = 1_000;

/**
 * What stands in front of the replicas of a service in a cluster: each new connection goes to the
 * next one whose `/readyz` is ok. As with kube-proxy a connection stays where it is, and one to a
 * replica that died since the last look is refused; whoever connects has to try again.
 */
export async function startBalancer(): Promise<Balancer> {
  const sockets = new Set<Socket>();
  const ready = new Set<string>();
  let members: readonly BalancerMember[] = [];
  let turn = 0;
  let isClosed = false;

  const watch = async (member: BalancerMember): Promise<void> => {
    while (!isClosed) {
      if (await answersOk(`${member.adminUrl}/readyz`)) ready.add(member.name);
      else ready.delete(member.name);
      await pause(PROBE_EVERY_MS);
    }
  };
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    const able = members.filter(({ name }) => ready.has(name));
    turn += 1;
    const chosen = able[turn % Math.max(1, able.length)];
    if (chosen === undefined) client.resetAndDestroy();
    else join(client, Number(new URL(chosen.url).port), sockets);
  });
  const port = await findFreePort();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1' }, resolve);
  });
  return {
    port,
    serve(next) {
      members = next;
      for (const member of members) void watch(member);
    },
    async close() {
      isClosed = true;
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function join(client: Socket, port: number, sockets: Set<Socket>): void {
  const target = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  for (const [from, to] of [
    [client, target],
    [target, client],
  ] as const) {
    sockets.add(from);
    from.pipe(to);
    from.on('error', () => to.resetAndDestroy());
    from.on('close', () => {
      sockets.delete(from);
      if (!from.readableEnded) to.resetAndDestroy();
    });
  }
}

function answersOk(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: PROBE_TIMEOUT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
