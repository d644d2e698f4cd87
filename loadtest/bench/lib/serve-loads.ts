import type { FromLoader, Marks, ToLoader } from './load-messages.ts';

/**
 * The side of the process that makes load: runs what its parent sends, until that is gone. What
 * `run` takes is what the `LoadProcess` was declared to send.
 */
export function serveLoads(run: (load: never, marks: Marks) => Promise<unknown>): void {
  let heard: (message: ToLoader<never>) => void = () => undefined;
  const say = (message: FromLoader<unknown>): void => {
    process.send?.(message);
  };
  const exchange = (announced: 'ready' | 'over', expected: 'go' | 'finish'): Promise<void> =>
    new Promise((resolve) => {
      heard = (message) => {
        if (message.do === expected) resolve();
      };
      say({ is: announced });
    });
  const marks: Marks = {
    begin: () => exchange('ready', 'go'),
    end: () => exchange('over', 'finish'),
  };
  process.on('message', (message: ToLoader<never>) => {
    if (message.do !== 'run') {
      heard(message);
      return;
    }
    run(message.load, marks).then(
      (result) => say({ is: 'result', result }),
      (error: unknown) =>
        say({ is: 'failed', reason: error instanceof Error ? error.message : String(error) }),
    );
  });
  process.on('disconnect', () => process.exit());
}
