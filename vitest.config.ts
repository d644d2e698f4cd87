import { defineConfig } from 'vitest/config';

const exclude = ['**/node_modules/**', '.arrakis/**'];

/**
 * Four projects: `unit` touches nothing outside the process; `chart` renders with helm;
 * `integration` and `e2e` share one PostgreSQL, Redis and NATS that the global setup starts.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{packages,services,scripts,loadtest}/**/*.test.ts'],
          exclude: [...exclude, '**/*.int.test.ts', '**/*.security.test.ts'],
        },
      },
      {
        test: {
          name: 'integration',
          include: ['{packages,services,scripts,loadtest}/**/*.{int,security}.test.ts'],
          exclude,
          globalSetup: ['packages/testkit/src/vitest-global-setup.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
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
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 1,
        },
      },
    ],
  },
});
