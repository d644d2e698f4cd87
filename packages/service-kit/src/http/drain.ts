import { Server, type Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

export interface InFlight {
  /**
   * @param socket the request's; of an injected request, whatever stands in for one
   * @returns how many requests are under way on it now, this one included
   */
  readonly begin: (socket: object) => number;
  readonly end: (socket: object) => void;
}

/**
 * Makes `app.close()` wait for the answers under way, and for nothing else. Node's own close would
 * deal wrongly with three kinds of connection: it destroys one whose answer is written but not yet
 * sent to a slow reader, leaves one that turns idle later open until its keep-alive time is over,
 * and one that has sent no request, or half of one, for longer still, because it also stops looking
 * for late ones. So intake stops first, what has no request in flight goes at once, every other
 * connection with its last answer, and the app closes when nothing is in flight.
 */
export function drainBeforeClose(app: FastifyInstance): InFlight {
  const connections = new Set<Socket>();
  const requests = new Map<object, number>();
  let isClosing = false;
  let whenNone: (() => void) | undefined;

  app.server.on('connection', (socket: Socket) => {
    if (isClosing) {
      socket.destroy();
      return;
    }
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  app.addHook('preClose', (done) => {
    isClosing = true;
    // Of the net server: the HTTP server's would destroy "idle" connections at once.
    if (app.server.listening) Server.prototype.close.call(app.server);
    for (const socket of connections) if (!requests.has(socket)) socket.destroy();
    if (requests.size === 0) done();
    else whenNone = done;
  });

  return {
    begin(socket) {
      const underWay = (requests.get(socket) ?? 0) + 1;
      requests.set(socket, underWay);
      return underWay;
    },
    end(socket) {
      // More than one where the client sends its next request before it has the answer.
      const left = (requests.get(socket) ?? 1) - 1;
      if (left > 0) {
        requests.set(socket, left);
        return;
      }
      requests.delete(socket);
      if (!isClosing) return;
      if (isConnection(socket, connections)) socket.destroySoon();
      if (requests.size > 0) return;
      whenNone?.();
      whenNone = undefined;
    },
  };
}

function isConnection(socket: object, connections: ReadonlySet<object>): socket is Socket {
  return connections.has(socket);
}
