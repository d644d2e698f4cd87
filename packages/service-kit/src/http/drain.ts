import { Server } from 'node:net';
import type { FastifyInstance } from 'fastify';

export interface InFlight {
  readonly begin: () => void;
  readonly end: () => void;
}

/**
 * Makes `app.close()` wait for the answers under way. Node's own close would cut two kinds of
 * connection wrongly: it destroys one whose answer is written but not yet sent to a slow reader,
 * and leaves one that turns idle later open until its keep-alive time is over. So intake stops
 * first, and the app closes when nothing is in flight.
 */
export function drainBeforeClose(app: FastifyInstance): InFlight {
  let count = 0;
  let whenNone: (() => void) | undefined;
  app.addHook('preClose', (done) => {
    // Of the net server: the HTTP server's would destroy "idle" connections at once.
    if (app.server.listening) Server.prototype.close.call(app.server);
    if (count === 0) done();
    else whenNone = done;
  });
  return {
    begin: () => {
      count += 1;
    },
    end: () => {
      count -= 1;
      if (count > 0) return;
      whenNone?.();
      whenNone = undefined;
    },
  };
}
