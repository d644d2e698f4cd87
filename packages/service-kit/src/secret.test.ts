import { format, inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.ts';
import { Secret } from './secret.ts';

const secret = new Secret('planted');

describe('a secret', () => {
  it('gives its text only when asked', () => {
    expect(secret.reveal()).toBe('planted');
  });

  it.each([
    ['a template', () => `<${secret as unknown as string}>`],
    ['concatenation', () => 'x' + (secret as unknown as string)],
    ['String()', () => String(secret)],
    ['JSON', () => JSON.stringify({ deep: [secret] })],
    ['inspect', () => inspect({ deep: secret }, { showHidden: true, depth: 9 })],
    ['format', () => format('%s %o %j', secret, secret, secret)],
    ['its keys', () => Object.entries(secret).join()],
    ['an error message', () => new Error(String(secret)).message],
  ])('is not in %s', (_way, print) => {
    expect(print()).not.toContain('planted');
  });

  it('is not in a log line', () => {
    let line = '';
    const logger = createLogger({
      service: 'test',
      level: 'info',
      destination: { write: (text: string) => (line += text) },
    });
    logger.info({ secret, deep: { secret } }, 'careless');
    expect(line).toContain('[secret]');
    expect(line).not.toContain('planted');
  });
});
