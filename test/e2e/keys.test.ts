import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, drift, receiptOf, startPlatform, type Platform } from './support/platform.ts';

const SCOUT = '1:0x00000000000000000000000000000000000a11ce:2';

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(async () => {
  expect(await drift(platform)).toEqual([]);
  await platform.stop();
});

const ask = (): Promise<Response> =>
  call(platform, '/api/v1/inference', { nft_id: SCOUT, prompt: 'Still there?' });

interface KeySet {
  keys: { kid: string }[];
}
const publishedKids = async (): Promise<string[]> => {
  const response = await fetch(`${platform.apiUrl}/.well-known/jwks.json`);
  return ((await response.json()) as KeySet).keys.map((key) => key.kid);
};

describe('a rotation of the signing key', () => {
  it('refuses no request under load, and prints no private material', async () => {
    const before = await publishedKids();
    const stop = new AbortController();
    const statuses = new Set<number>();
    const load = (async () => {
      while (!stop.signal.aborted) statuses.add((await ask()).status);
    })();
    const printed = await platform.command(
      'scripts/keys/s2s.ts',
      ...['rotate', '--jwks-url', `${platform.apiUrl}/.well-known/jwks.json`],
      ...['--finn-url', platform.finnUrl, '--wait-seconds', '2', '--unsafe-short-wait'],
    );
    const [added] = (await publishedKids()).filter((kid) => !before.includes(kid));
    const activated = () =>
      platform.services.api
        .logs()
        .some((line) => line.msg === 'signing key activated' && line.kid === added);
    await waitFor(activated, { timeoutMs: 10_000 });
    expect((await ask()).status).toBe(200);
    stop.abort();
    await load;
    expect([...statuses]).toEqual([200]);
    expect(printed).not.toMatch(/PRIVATE KEY|"d":/);
  });

  it('stops before the switch when finn does not accept the new key', async () => {
    const nowhere = platform.adminUrls.finn;
    await expect(
      platform.command(
        'scripts/keys/s2s.ts',
        ...['rotate', '--jwks-url', `${platform.apiUrl}/.well-known/jwks.json`],
        ...['--finn-url', nowhere, '--wait-seconds', '1', '--unsafe-short-wait'],
      ),
    ).rejects.toMatchObject({ code: 1 });
    expect((await ask()).status).toBe(200);
  });
});

describe('an API key', () => {
  it('that is revoked opens nothing two seconds later', async () => {
    const created = await platform.command(
      'scripts/keys/api-key.ts',
      ...['create', '--community', 'demo', '--user', 'Demo Developer', '--json'],
    );
    const key = /lf_live_[a-z2-7]{12}_[0-9A-Za-z]{32}/.exec(created)![0];
    const prefix = key.slice(0, key.lastIndexOf('_'));
    const get = () =>
      fetch(`${platform.apiUrl}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
    expect((await get()).status).toBe(200);
    await platform.command('scripts/keys/api-key.ts', 'revoke', prefix);
    // The command ended after the commit: two seconds from here are generous. What counts is when a
    // request was sent; how long its answer takes on a busy machine is another matter.
    const revokedAt = performance.now();
    let lastOpenAt = revokedAt;
    await waitFor(async () => {
      const askedAt = performance.now();
      const { status } = await get();
      if (status !== 401) lastOpenAt = askedAt;
      return status === 401;
    });
    expect(lastOpenAt - revokedAt).toBeLessThan(2_000);
    expect(
      await platform.command('scripts/keys/api-key.ts', 'list', '--community', 'demo', '--all'),
    ).not.toContain(key);
  });

  it('of the sandbox gets the cheap pool of any agent, and its small limits', async () => {
    const created = await platform.command(
      'scripts/keys/api-key.ts',
      ...['create', '--community', 'demo', '--user', 'Demo Developer', '--env', 'test', '--json'],
    );
    const key = /lf_test_[a-z2-7]{12}_[0-9A-Za-z]{32}/.exec(created)![0];
    const askAs = (body: object) =>
      call(platform, '/api/v1/inference', body, { headers: { authorization: `Bearer ${key}` } });
    const sage = '1:0x00000000000000000000000000000000000a11ce:1';
    const answer = await askAs({ nft_id: sage, prompt: 'Hi', max_tokens: 10 });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-pool-used')).toBe('cheap');
    expect(answer.headers.get('x-ratelimit-limit')).toBe('10');
    await receiptOf(platform, answer.headers.get('x-request-id')!);
    expect((await askAs({ nft_id: sage, prompt: 'Hi', pool: 'architect' })).status).toBe(403);
    const long = await askAs({ nft_id: sage, prompt: 'Hi', max_tokens: 20_000 });
    expect(long.status).toBe(429);
    expect(await long.json()).toMatchObject({
      code: 'token_limit_reached',
      limit: { allowed: '10000' },
    });
  });
});
