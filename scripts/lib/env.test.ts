import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { baseEnv, EnvError, integerEnv, optionalEnv, optionalSecretEnv } from './env.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the environment of a script', () => {
  it('counts an empty variable as absent', () => {
    vi.stubEnv('SOME_NAME', '');
    expect(optionalEnv('SOME_NAME')).toBeUndefined();
  });

  it.each(['', '0'])('reads %j as a number only where it is one', (text) => {
    vi.stubEnv('SOME_NUMBER', text);
    expect(integerEnv('SOME_NUMBER', { min: 0, max: 9 })).toBe(text === '' ? undefined : 0);
  });

  it.each(['1.5', '1e3', ' 1', '10', '-1', 'x', '0x1'])(
    'refuses %j by the name of the variable and not by its value',
    (text) => {
      vi.stubEnv('SOME_NUMBER', text);
      expect(() => integerEnv('SOME_NUMBER', { min: 0, max: 9 })).toThrow(
        new EnvError('SOME_NUMBER must be a whole number from 0 to 9'),
      );
    },
  );

  it('reads a secret from a file, without the line end that editors add', () => {
    const folder = mkdtempSync(join(tmpdir(), 'env-test-'));
    try {
      writeFileSync(join(folder, 'secret'), 'value with space \n');
      vi.stubEnv('SOME_SECRET_FILE', join(folder, 'secret'));
      expect(optionalSecretEnv('SOME_SECRET')).toBe('value with space ');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('refuses a secret that is given twice, and one whose file is missing', () => {
    vi.stubEnv('SOME_SECRET_FILE', '/nowhere/at/all');
    expect(() => optionalSecretEnv('SOME_SECRET')).toThrow("SOME_SECRET_FILE can't be read");
    vi.stubEnv('SOME_SECRET', 'value');
    expect(() => optionalSecretEnv('SOME_SECRET')).toThrow('are both set');
  });

  it('hands children what they need to run, and nothing that could configure or leak', () => {
    vi.stubEnv('DATABASE_URL', 'postgres://secret');
    vi.stubEnv('OPENAI_API_KEY', 'secret');
    vi.stubEnv('NODE_OPTIONS', '--inspect');
    vi.stubEnv('https_proxy', 'http://127.0.0.1:1');
    const env = baseEnv({ FREESIDE_PORT: '3000' });
    expect(env).toMatchObject({ FREESIDE_PORT: '3000', https_proxy: 'http://127.0.0.1:1' });
    expect(env).toHaveProperty('PATH');
    for (const name of ['DATABASE_URL', 'OPENAI_API_KEY', 'NODE_OPTIONS']) {
      expect(env).not.toHaveProperty(name);
    }
  });
});
