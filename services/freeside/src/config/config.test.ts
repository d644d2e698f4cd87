import { describe, expect, it } from 'vitest';
import { EnvError, loadEnv } from '@arrakis/service-kit';
import { ConfigError, toConfig } from './config.ts';
import { FreesideEnv } from './env.ts';
import { toSecrets } from './secrets.ts';

const REQUIRED = {
  DATABASE_URL: 'postgres://freeside_app:hunter2@db/arrakis',
  API_KEY_PEPPER: '1:c2VjcmV0LXBlcHBlcg==',
};
const load = (change: Record<string, string> = {}) =>
  loadEnv(FreesideEnv, { ...REQUIRED, ...change });

describe('the configuration', () => {
  it('has defaults for everything but secrets', () => {
    const config = toConfig(load());
    expect(config.http).toMatchObject({ host: '127.0.0.1', port: 3000 });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('reads the head that the audit trail must go through, or refuses it', () => {
    const hash = 'ab'.repeat(32);
    const { anchor } = toConfig(load({ AUDIT_ANCHOR: `12385:${hash}` })).audit;
    expect(anchor).toEqual({ sequence: 12385n, hash });
    expect(toConfig(load()).audit.anchor).toBeUndefined();
    for (const wrong of ['12385', `0:${hash}`, `1:${hash}0`, `1:${hash.toUpperCase()}`]) {
      expect(() => load({ AUDIT_ANCHOR: wrong })).toThrow('AUDIT_ANCHOR');
    }
  });

  it('names every variable that is missing or wrong, and shows no value', () => {
    const bad = { FREESIDE_PORT: 'eighty', LOG_LEVEL: 'loud' };
    expect(() => loadEnv(FreesideEnv, bad)).toThrow(EnvError);
    try {
      loadEnv(FreesideEnv, bad);
    } catch (error) {
      const { message } = error as Error;
      for (const name of ['FREESIDE_PORT', 'LOG_LEVEL', 'DATABASE_URL', 'API_KEY_PEPPER']) {
        expect(message).toContain(name);
      }
      expect(message).not.toContain('eighty');
    }
  });

  it.each([
    [{ FINN_CONNECT_TIMEOUT_MS: '60000' }, 'FINN_CONNECT_TIMEOUT_MS'],
    [{ FINN_IDLE_TIMEOUT_MS: '60001' }, 'FINN_IDLE_TIMEOUT_MS'],
    [{ FREESIDE_ADMIN_PORT: '3000' }, 'FREESIDE_ADMIN_PORT'],
    [{ NOWPAYMENTS_API_KEY: 'k' }, 'NOWPAYMENTS_IPN_SECRET'],
    [{ NOWPAYMENTS_API_KEY: 'k', NOWPAYMENTS_IPN_SECRET: 's' }, 'FREESIDE_PUBLIC_URL'],
    [{ NODE_ENV: 'production', S2S_KEY_STORE_DIR: 'keys' }, 'S2S_KEY_STORE_DIR'],
    [{ NODE_ENV: 'production', S2S_KEY_STORE_DIR: '/keys', LOG_LEVEL: 'debug' }, 'LOG_LEVEL'],
    [
      {
        NODE_ENV: 'production',
        S2S_KEY_STORE_DIR: '/keys',
        NOWPAYMENTS_BASE_URL: 'http://127.0.0.1:18080',
      },
      'NOWPAYMENTS_BASE_URL',
    ],
  ])('refuses %j', (change, name) => {
    expect(() => toConfig(load(change))).toThrow(ConfigError);
    expect(() => toConfig(load(change))).toThrow(name);
  });

  it.each(['https://u:hunter3@h', 'https://h/v1', 'ftp://h', 'https://h?k=hunter3'])(
    'takes no more than an origin for the vendor: %s',
    (origin) => {
      expect(() => load({ NOWPAYMENTS_BASE_URL: origin })).toThrow('NOWPAYMENTS_BASE_URL');
      expect(() => load({ NOWPAYMENTS_BASE_URL: origin })).not.toThrow('hunter3');
    },
  );

  it('takes addresses and blocks as trusted proxies', () => {
    const proxies = '10.0.0.0/8, 127.0.0.1,::1,2001:db8::/32,::ffff:10.0.0.1';
    expect(toConfig(load({ FREESIDE_TRUSTED_PROXIES: proxies })).http.trustedProxies).toEqual([
      '10.0.0.0/8',
      '127.0.0.1',
      '::1',
      '2001:db8::/32',
      '::ffff:10.0.0.1',
    ]);
  });

  it.each([
    ['10.0.0.0/8,', '""'],
    ['10.0.0.0/8,,127.0.0.1', '""'],
    ['10.0.0.0/33', '"10.0.0.0/33"'],
    ['10.0.0.0/', '"10.0.0.0/"'],
    ['10.0.0.0/0', '"10.0.0.0/0"'],
    ['10.0.0.0/255.0.0.0', '"10.0.0.0/255.0.0.0"'],
    ['10.0.0.0/8/8', '"10.0.0.0/8/8"'],
    ['127.0.0.1,10.0.0', '"10.0.0"'],
    ['::1/129', '"::1/129"'],
    ['fe80::1%eth0', '"fe80::1%eth0"'],
    ['proxy.example', '"proxy.example"'],
  ])('names the trusted proxy that is none: %s', (proxies, wrong) => {
    const starting = (): unknown => toConfig(load({ FREESIDE_TRUSTED_PROXIES: proxies }));
    expect(starting).toThrow(ConfigError);
    expect(starting).toThrow(`FREESIDE_TRUSTED_PROXIES: ${wrong} is`);
  });

  it('keeps secrets from being printed', () => {
    const secrets = toSecrets(load());
    expect(`${JSON.stringify(secrets)} ${String(secrets.databaseUrl)}`).not.toContain('hunter2');
    expect(secrets.databaseUrl.reveal()).toContain('hunter2');
  });
});
