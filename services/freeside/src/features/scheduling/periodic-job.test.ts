import { createLogger, createRegistry } from '@arrakis/service-kit';
import { describe, expect, it } from 'vitest';
import { startJobs } from './periodic-job.ts';

const to = () => ({
  registry: createRegistry('test'),
  logger: createLogger({ service: 'test', level: 'silent' }),
});

describe('the scheduler', () => {
  it('asks the runs that are under way to end, and waits for them', async () => {
    let begun = (): void => undefined;
    const beginning = new Promise<void>((resolve) => (begun = resolve));
    let runs = 0;
    const run = (closing?: AbortSignal): Promise<number> =>
      new Promise((resolve) => {
        runs += 1;
        closing?.addEventListener('abort', () => resolve(7));
        begun();
      });
    const jobs = startJobs([{ name: 'long', everyMs: 1, run }], to());
    await beginning;
    await jobs.close();
    expect(runs).toBe(1);
  });

  it('goes on after a failure', async () => {
    let runs = 0;
    let again = (): void => undefined;
    const ranAgain = new Promise<void>((resolve) => (again = resolve));
    const run = (): Promise<number> => {
      runs += 1;
      if (runs === 2) again();
      return runs === 1 ? Promise.reject(new Error('no')) : Promise.resolve(0);
    };
    const jobs = startJobs([{ name: 'failing', everyMs: 1, run }], to());
    await ranAgain;
    await jobs.close();
  });
});
