import { existsSync } from 'node:fs';
import { getPriority } from 'node:os';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '@arrakis/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  HAS_LOCAL_MODEL,
  LOCAL_MODEL as MODEL,
  LOCAL_MODEL_DIR as MODEL_DIR,
} from '../../../test-support/local-model.ts';
import { collectingSink } from '../test-support/collecting-sink.ts';
import type { Provider, ProviderRequest } from '../provider.ts';
import { findLocalModel } from './catalogue.domain.ts';
import { createLocal } from './local.client.ts';

const never = new AbortController().signal;
const request: ProviderRequest = {
  model: MODEL,
  messages: [
    { role: 'system', content: 'You are a pirate.' },
    { role: 'user', content: 'Tell me a long story about the sea.' },
  ],
  maxTokens: 24,
};

let children: number[];
let providers: Provider[];

beforeEach(() => {
  children = [];
  providers = [];
});
afterEach(async () => {
  for (const provider of providers) await provider.close();
});

function open(modelDir: string, maxQueued?: number): Provider {
  const provider = createLocal({
    modelDir,
    maxQueued,
    timeouts: { connectMs: 1000, idleMs: 20_000, totalMs: 30_000 },
    tokenizer: { count: (text) => text.length },
    log: {
      info: (fields) => children.push((fields as { childPid: number }).childPid),
      warn: () => undefined,
    },
  });
  providers.push(provider);
  return provider;
}

describe('without its file', () => {
  test('a model cannot be reached, which the next target may mend', async () => {
    const provider = open('nowhere');
    await expect(provider.probe(MODEL, never)).rejects.toMatchObject({ code: 'connect_failed' });
    const answer = provider.complete(request, collectingSink(), never);
    await expect(answer).rejects.toMatchObject({ code: 'connect_failed' });
    expect(children).toEqual([]);
  });

  test('a model that the catalogue has not is refused', async () => {
    const answer = open('nowhere').complete({ ...request, model: 'gpt' }, collectingSink(), never);
    await expect(answer).rejects.toMatchObject({ code: 'rejected' });
  });
});

describe('with a file that is no model', () => {
  let dir: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'models-'));
    await writeFile(join(dir, findLocalModel(MODEL)!.file), 'half a download');
  });
  afterEach(() => rm(dir, { recursive: true }));

  test('a model cannot be reached either', async () => {
    await expect(open(dir).probe(MODEL, never)).rejects.toMatchObject({ code: 'connect_failed' });
  });

  test('more calls than may wait are refused as busy, at once', async () => {
    const provider = open(dir, 2);
    const answers = Array.from({ length: 4 }, () =>
      provider.complete(request, collectingSink(), never),
    );
    const outcomes = await Promise.allSettled(answers);
    const codes = outcomes.map((outcome) =>
      outcome.status === 'rejected' ? (outcome.reason as { code: string }).code : 'answered',
    );
    expect(codes.filter((code) => code === 'server_error').length).toBeGreaterThanOrEqual(1);
    expect(codes.filter((code) => code === 'connect_failed').length).toBeGreaterThanOrEqual(2);
  });

  test('the process of the model sees nothing of finn’s environment', async () => {
    await expect(open(dir).probe(MODEL, never)).rejects.toThrow();
    const environment = await readFile(`/proc/${String(children[0])}/environ`, 'utf8');
    const names = environment.split('\0').map((each) => each.split('=')[0]);
    expect(names.filter((name) => name !== '' && !name?.startsWith('NODE_'))).toEqual([]);
  });
});

describe.skipIf(!HAS_LOCAL_MODEL)('with its file', () => {
  test('an answer is streamed with exact counts', async () => {
    const sink = collectingSink();
    const result = await open(MODEL_DIR).complete(request, sink, never);
    expect(sink.deltas.length).toBeGreaterThan(5);
    expect(sink.tokens).toBe(24);
    expect(result).toMatchObject({
      usage: { promptTokens: 28, completionTokens: 24 },
      finishReason: 'length',
    });
  });

  test('an abort is obeyed at once, and the next call is answered', async () => {
    const provider = open(MODEL_DIR);
    const left = new AbortController();
    const sink = collectingSink({
      onText: (tokens) => {
        if (tokens >= 3) left.abort(new Error('caller left'));
      },
    });
    const answer = provider.complete({ ...request, maxTokens: 2000 }, sink, left.signal);
    await expect(answer).rejects.toThrow('caller left');
    const heard = sink.tokens;
    await provider.complete({ ...request, maxTokens: 1 }, collectingSink(), never);
    expect(sink.tokens).toBe(heard);
  });

  test('a process that dies fails its call, and is there again for the next', async () => {
    const provider = open(MODEL_DIR);
    const sink = collectingSink({ onText: () => process.kill(children[0]!, 'SIGSEGV') });
    const answer = provider.complete({ ...request, maxTokens: 2000 }, sink, never);
    await expect(answer).rejects.toMatchObject({ code: 'server_error' });
    const after = await provider.complete(request, collectingSink(), never);
    expect(after.usage?.completionTokens).toBe(24);
    expect(children).toHaveLength(2);
  });

  test('a probe is answered while the model is busy, however long that takes', async () => {
    const provider = open(MODEL_DIR, 1);
    await provider.probe(MODEL, never);
    const left = new AbortController();
    const sink = collectingSink({ pauseAt: 1 });
    const long = provider.complete({ ...request, maxTokens: 2000 }, sink, left.signal);
    await sink.paused;
    const queued = provider.complete(request, collectingSink(), left.signal);
    await provider.probe(MODEL, AbortSignal.timeout(1_000));
    left.abort(new Error('enough'));
    await expect(long).rejects.toThrow('enough');
    await expect(queued).rejects.toThrow('enough');
  });

  test('its process never takes more of the machine than whoever started finn meant it to', async () => {
    await open(MODEL_DIR).probe(MODEL, never);
    expect(getPriority(children[0])).toBe(Math.max(5, getPriority()));
  });

  test('a prompt that does not fit is refused', async () => {
    const messages = [{ role: 'user', content: 'word '.repeat(3000) }] as const;
    const answer = open(MODEL_DIR).complete({ ...request, messages }, collectingSink(), never);
    await expect(answer).rejects.toMatchObject({ code: 'rejected' });
  });

  test('a reader that is behind is waited for', async () => {
    const sink = collectingSink({ pauseAt: 4 });
    const answer = open(MODEL_DIR).complete(request, sink, never);
    await sink.paused;
    sink.resume();
    expect((await answer).usage?.completionTokens).toBe(24);
  });

  test('targets that share a directory share a process, until the last is closed', async () => {
    const [first, second] = [open(MODEL_DIR), open(MODEL_DIR)];
    await first.probe(MODEL, never);
    await second.probe(MODEL, never);
    expect(children).toHaveLength(1);
    await providers.shift()?.close();
    await second.probe(MODEL, never);
    await providers.shift()?.close();
    await waitFor(() => !existsSync(`/proc/${String(children[0])}`));
  });
});
