/**
 * A service that does nothing but tell what happens to it: run by run-service.test.ts as a process
 * of its own. Its behaviour comes as one JSON argument.
 */
import { createLifecycle } from './lifecycle.ts';
import { createLogger } from './logger.ts';
import { runService } from './run-service.ts';

interface Behaviour {
  readonly drain?: 'ends' | 'hangs' | 'fails';
  readonly start?: 'fails' | 'throws at once' | 'throws later';
  readonly drainDeadlineMs: number;
}

const behaviour = JSON.parse(process.argv[2] ?? '{}') as Behaviour;
const logger = createLogger({ service: 'fixture', level: 'info' });
const lifecycle = createLifecycle();
const keepAlive = setInterval(() => undefined, 60_000);

runService({
  logger,
  lifecycle,
  drainDeadlineMs: behaviour.drainDeadlineMs,
  announceMs: 1,
  start: (signal) => {
    if (behaviour.start === 'fails') return Promise.reject(new Error('no database'));
    if (behaviour.start === 'throws at once') throw new Error('no database');
    signal.addEventListener('abort', () => logger.info('signal aborted'));
    if (behaviour.start === 'throws later') {
      setImmediate(() => {
        throw new Error('out of nowhere');
      });
    }
    logger.info('started');
    logger.flush();
    return Promise.resolve({
      drain: () => {
        logger.info({ draining: lifecycle.isDraining() }, 'drain');
        logger.flush();
        if (behaviour.drain === 'hangs') return new Promise<void>(() => undefined);
        return behaviour.drain === 'fails' ? Promise.reject(new Error('odd')) : Promise.resolve();
      },
      close: () => {
        logger.info('close');
        clearInterval(keepAlive);
        return Promise.resolve();
      },
    });
  },
});
