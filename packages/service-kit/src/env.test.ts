import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeEnv } from './env-document.ts';
import { EnvError, SecretString, loadEnv } from './env.ts';
import { Secret } from './secret.ts';

const schema = Type.Object({
  NODE_ENV: Type.Enum(['development', 'test', 'production'], {
    description: 'What kind of run this is.',
    default: 'development',
  }),
  PORT: Type.Integer({ description: 'Public port.', minimum: 0, maximum: 65535, default: 3000 }),
  RATIO: Type.Optional(Type.Number({ description: 'A share.', minimum: 0, maximum: 1 })),
  TRACE: Type.Boolean({ description: 'Whether to trace.', default: false }),
  MODE: Type.Optional(
    Type.Union([Type.Literal('a'), Type.Literal('b')], { description: 'Which way.' }),
  ),
  URL: Type.String({ description: 'Where to.', pattern: '^https?://' }),
  PEPPER: SecretString({ description: 'Hashes keys.', minLength: 8 }),
});

const sound = { URL: 'http://x', PEPPER: 'planted-secret' };

function faultsOf(raw: Record<string, string>): Record<string, string> {
  try {
    loadEnv(schema, raw);
  } catch (error) {
    if (!(error instanceof EnvError)) throw error;
    return Object.fromEntries(error.faults.map((fault) => [fault.name, fault.expected]));
  }
  throw new Error('was accepted');
}

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'env-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

describe('the environment', () => {
  it('is read into types, with defaults for what is absent or empty', () => {
    const env = loadEnv(schema, { ...sound, PORT: '', TRACE: 'true', RATIO: '0.25', OTHER: 'x' });
    expect({ ...env, PEPPER: env.PEPPER.reveal() }).toEqual({
      NODE_ENV: 'development',
      PORT: 3000,
      RATIO: 0.25,
      TRACE: true,
      URL: 'http://x',
      PEPPER: 'planted-secret',
    });
    expect(Object.isFrozen(env)).toBe(true);
  });

  it('lists every fault at once, with what was expected and never the value', () => {
    const raw = {
      NODE_ENV: 'prod-planted',
      PORT: '70000',
      RATIO: 'planted',
      TRACE: 'yes',
      MODE: 'c',
      PEPPER: 'planted',
    };
    expect(faultsOf(raw)).toEqual({
      NODE_ENV: 'one of development, test, production',
      PORT: 'an integer from 0 to 65535',
      RATIO: 'a number from 0 to 1',
      TRACE: 'true or false',
      MODE: 'one of a, b',
      URL: 'a string (matching ^https?://)',
      PEPPER: 'a secret (at least 8 characters)',
    });
    expect(() => loadEnv(schema, raw)).toThrow(/PORT: expected an integer from 0 to 65535/);
    expect(() => loadEnv(schema, raw)).not.toThrow(/planted/);
  });

  it.each(['1e3', '0x10', ' 1', '1.5', '1_000', '', '९', '9007199254740993', '+1', 'NaN'])(
    'does not take %j for an integer',
    (text) => {
      const integer = Type.Object({ N: Type.Integer() });
      expect(() => loadEnv(integer, { N: text })).toThrow(EnvError);
    },
  );

  it('takes a secret from the file that NAME_FILE names, without its last line break', () => {
    const file = join(dir, 'pepper');
    writeFileSync(file, 'from-the-file\n');
    const env = loadEnv(schema, { URL: 'http://x', PEPPER_FILE: file });
    expect(env.PEPPER.reveal()).toBe('from-the-file');
  });

  it('refuses a secret given twice, and a file that cannot be read', () => {
    expect(faultsOf({ ...sound, PEPPER_FILE: join(dir, 'pepper') })).toEqual({
      PEPPER: 'either PEPPER or PEPPER_FILE, not both',
    });
    expect(faultsOf({ URL: 'http://x', PEPPER_FILE: join(dir, 'none') })).toEqual({
      PEPPER: 'PEPPER_FILE to name a readable file',
    });
  });

  it('does not read files for what is no secret', () => {
    expect(faultsOf({ ...sound, URL: '', URL_FILE: join(dir, 'pepper') })).toHaveProperty('URL');
  });

  it('hands secrets back wrapped', () => {
    expect(loadEnv(schema, sound).PEPPER).toBeInstanceOf(Secret);
    expect(JSON.stringify(loadEnv(schema, sound))).not.toContain('planted');
  });
});

describe('the documented environment', () => {
  it('tells of each variable what it is, what it may be and its default', () => {
    const text = describeEnv('freeside', schema);
    expect(text).toContain('# === freeside ===');
    expect(text).toContain(
      '# Public port.\n# (an integer from 0 to 65535; default 3000)\nPORT=3000\n',
    );
    expect(text).toContain('# (a number from 0 to 1; optional)\nRATIO=\n');
    expect(text).toContain(
      '# (a secret (at least 8 characters); required; may be read from the file named in PEPPER_FILE)\nPEPPER=\n',
    );
  });
});
