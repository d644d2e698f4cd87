import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parsePoolFile } from '../../services/finn/src/features/pools/pool-file.domain.ts';
import { choosePools, namesProvider, type PoolChoice } from './pools.ts';

const VARIABLES = [
  'OPENAI_API_KEY',
  'OPENAI_BASE_URL',
  'OPENAI_MODEL',
  'ANTHROPIC_API_KEY',
  'ANTHROPIC_MODEL',
  'OLLAMA_HOST',
  'OLLAMA_MODEL',
];

beforeEach(() => {
  for (const name of VARIABLES) vi.stubEnv(name, '');
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** The targets of one pool, after finn's own reading of the file. */
function targets(choice: PoolChoice, pool: 'cheap' | 'architect' = 'cheap') {
  return parsePoolFile(JSON.parse(choice.file)).pools[pool].targets;
}

describe('the choice of models', () => {
  it('is the local model when the environment names no provider', async () => {
    const choice = await choosePools(true);
    expect(namesProvider()).toBe(false);
    expect(targets(choice)).toMatchObject([{ provider: 'local' }]);
    expect(choice).toMatchObject({ isCanned: false, secretNames: [] });
  });

  it('is a canned text, said to be one, when there is no model either', async () => {
    const choice = await choosePools(false);
    expect(targets(choice)).toMatchObject([{ provider: 'canned' }]);
    expect(choice.isCanned).toBe(true);
    expect(choice.label).toContain('no model');
  });

  it('is OpenAI for its key, with a dearer model for a dearer pool', async () => {
    vi.stubEnv('OPENAI_API_KEY', 'sk-very-secret');
    const choice = await choosePools(true);
    const [cheap] = targets(choice, 'cheap');
    const [architect] = targets(choice, 'architect');
    expect(cheap).toMatchObject({ provider: 'openai-compatible', apiKey: 'env:OPENAI_API_KEY' });
    expect(cheap?.model).not.toBe(architect?.model);
    expect(choice.secretNames).toEqual(['OPENAI_API_KEY']);
  });

  it('never writes a key into the pool file', async () => {
    vi.stubEnv('OPENAI_API_KEY', 'sk-very-secret');
    vi.stubEnv('ANTHROPIC_API_KEY', 'ak-very-secret');
    expect((await choosePools(true)).file).not.toContain('very-secret');
  });

  it('tries several providers in order', async () => {
    vi.stubEnv('ANTHROPIC_API_KEY', 'x');
    vi.stubEnv('OPENAI_API_KEY', 'x');
    const providers = targets(await choosePools(true)).map(({ provider }) => provider);
    expect(providers).toEqual(['openai-compatible', 'anthropic']);
  });

  it('takes any OpenAI-compatible server, with or without a key, if its model is named', async () => {
    vi.stubEnv('OPENAI_BASE_URL', 'http://127.0.0.1:8000/v1/');
    await expect(choosePools(true)).rejects.toThrow('not which model');
    vi.stubEnv('OPENAI_MODEL', 'Org/Some Model:7B');
    const [target] = targets(await choosePools(true));
    expect(target).toMatchObject({
      baseUrl: 'http://127.0.0.1:8000/v1',
      model: 'Org/Some Model:7B',
    });
    expect(target).not.toHaveProperty('apiKey');
  });
});

describe('Ollama', () => {
  let server: Server;
  let names: string[];
  let host: string;

  beforeEach(async () => {
    names = ['first:latest', 'second:latest'];
    server = createServer((_request, response) => {
      response.end(JSON.stringify({ models: names.map((name) => ({ name })) }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  });
  afterEach(() => {
    server.close();
  });

  it('is asked which models it has', async () => {
    vi.stubEnv('OLLAMA_HOST', host);
    expect(targets(await choosePools(true))).toMatchObject([
      { model: 'first:latest', baseUrl: `http://${host}/v1` },
    ]);
  });

  it('is told how to get one when it has none', async () => {
    names = [];
    vi.stubEnv('OLLAMA_HOST', host);
    await expect(choosePools(true)).rejects.toThrow('no model yet');
  });

  it('is reported when it does not answer', async () => {
    await new Promise((resolve) => server.close(resolve));
    vi.stubEnv('OLLAMA_HOST', host);
    await expect(choosePools(true)).rejects.toThrow('does not answer');
  });

  it.each([
    ['localhost', 'http://localhost:11434/v1'],
    ['0.0.0.0:11500', 'http://127.0.0.1:11500/v1'],
    ['https://models.example', 'https://models.example/v1'],
  ])('understands %s as Ollama itself does', async (value, baseUrl) => {
    vi.stubEnv('OLLAMA_HOST', value);
    vi.stubEnv('OLLAMA_MODEL', 'm');
    expect(targets(await choosePools(true))).toMatchObject([{ baseUrl }]);
  });
});
