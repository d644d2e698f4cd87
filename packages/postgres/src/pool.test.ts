import { describe, expect, it } from 'vitest';
import { createPool } from './pool.ts';

const open = (url: string): ReturnType<typeof createPool> =>
  createPool({ url, max: 1, applicationName: 'test', onError: () => undefined });

describe('the URL of a pool', () => {
  it.each([
    'postgres://freeside_app:pa%2Fss@db:5432/arrakis?sslmode=require',
    'postgresql://db/arrakis',
    'postgres://finn@%2Frun%2Fpostgresql/arrakis',
  ])('may be %j', async (url) => {
    await open(url).end();
  });

  it.each(['', 'db', 'nonsense:hunter2', 'mysql://u:hunter2@db/x', 'postgres://u:hunter2@db:x/y'])(
    'is refused as %j without repeating it',
    (url) => {
      let message = '';
      try {
        open(url);
      } catch (error) {
        message = (error as Error).message;
      }
      expect(message).toContain('must be like postgres://');
      expect(message).not.toContain('hunter2');
    },
  );
});
