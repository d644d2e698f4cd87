import { defineConfig } from 'vitest/config';

const exclude = ['**/node_modules/**', '.arrakis/**'];
const setupFiles = ['packages/testkit/src/vitest-fixed-seed.ts'];

/**
 * Four projects: `unit` touches nothing outside the process; `chart` renders with helm;
 * `integration` and `e2e` share one PostgreSQL, Redis and NATS that the global setup starts.
 *
 * A limit is for what hangs, not for what is slow: a machine that others use as well may take many
 * times as long, and nothing is gained by giving up early.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{packages,services,scripts,loadtest}/**/*.test.ts'],
          exclude: [...exclude, '**/*.int.test.ts', '**/*.security.test.ts'],
          setupFiles,
          testTimeout: 30_000,
          expect: { poll: { timeout: 10_000 } },
        },
      },
      {
        test: {
          name: 'integration',
          include: ['{packages,services,scripts,loadtest}/**/*.{int,security}.test.ts'],
          exclude,
          globalSetup: ['packages/testkit/src/vitest-global-setup.ts'],
          setupFiles,
          testTimeout: 90_000,
          hookTimeout: 120_000,
          expect: { poll: { timeout: 15_000 } },
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'chart',
          include: ['test/chart/**/*.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/**/*.test.ts'],
          exclude: [...exclude, 'test/chart/**'],
          globalSetup: ['packages/testkit/src/vitest-global-setup.ts'],
          setupFiles,
          testTimeout: 240_000,
          hookTimeout: 240_000,
          expect: { poll: { timeout: 15_000 } },
          maxWorkers: 1,
        },
      },
    ],
  },
});
