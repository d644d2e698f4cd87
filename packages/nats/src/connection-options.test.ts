import { describe, expect, it } from 'vitest';
import { natsOptions } from './connection-options.ts';

describe('the options of a NATS connection', () => {
  it('take credentials out of the URL and reconnect for ever', () => {
    expect(natsOptions('nats://finn:p%40ss@nats:4222', 'finn')).toMatchObject({
      servers: 'nats:4222',
      user: 'finn',
      pass: 'p@ss',
      name: 'finn',
      maxReconnectAttempts: -1,
    });
  });

  it('take a lone user part for a token, and need no credentials', () => {
    expect(natsOptions('nats://t0ken@nats:4222', 'x')).toMatchObject({ token: 't0ken' });
    expect(natsOptions('nats://nats:4222', 'x')).not.toHaveProperty('user');
  });

  it('use TLS where the URL says so', () => {
    expect(natsOptions('tls://nats:4222', 'x')).toHaveProperty('tls');
    expect(natsOptions('nats://nats:4222', 'x')).not.toHaveProperty('tls');
  });

  it.each(['', 'nats', 'http://nats:4222', 'nats://user:hunter2@', 'nats:// :hunter2@x y'])(
    'refuse %j without repeating it',
    (url) => {
      let message = '';
      try {
        natsOptions(url, 'x');
      } catch (error) {
        message = (error as Error).message;
      }
      expect(message).toContain('must be like');
      expect(message).not.toContain('hunter2');
    },
  );
});
