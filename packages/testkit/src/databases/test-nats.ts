import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startNats, type RunningNats } from '../backends/nats.ts';
import { providedBackends, type TestBackends } from './test-backends.ts';

export interface TestNats extends RunningNats {
  /** Starts it again on the same port with the same streams, after `kill()` or `stop()`. */
  restart(): Promise<TestNats>;
  /** Ends the server and removes its files. */
  drop(): Promise<void>;
}

/**
 * A nats-server of its own for a test file. Streams have fixed names, so that files which share
 * a server would see each other's messages.
 */
export async function createTestNats(given?: TestBackends): Promise<TestNats> {
  const { runDir } = given ?? (await providedBackends());
  const storeDir = await mkdtemp(join(runDir, 'nats-'));
  let running = await startNats({ storeDir });
  const { port, monitorPort } = running;
  const nats: TestNats = {
    ...running,
    get pid() {
      return running.pid;
    },
    stop: (...args) => running.stop(...args),
    kill: () => running.kill(),
    restart: async () => {
      running = await startNats({ storeDir, port, monitorPort });
      return nats;
    },
    drop: async () => {
      await running.kill();
      await rm(storeDir, { recursive: true, force: true });
    },
  };
  return nats;
}
