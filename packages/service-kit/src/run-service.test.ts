import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

const FIXTURE = fileURLToPath(new URL('run-service.fixture.ts', import.meta.url));

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

interface Line {
  readonly msg: string;
  readonly level: string;
  readonly draining?: boolean;
  readonly err?: { message: string };
}

function run(behaviour: object) {
  const child = spawn(process.execPath, [FIXTURE, JSON.stringify(behaviour)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  let text = '';
  const waiting: { msg: string; found: () => void }[] = [];
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
    for (const waiter of waiting) if (text.includes(`"msg":"${waiter.msg}"`)) waiter.found();
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return {
    child,
    said: (msg: string) =>
      new Promise<void>((found) => {
        if (text.includes(`"msg":"${msg}"`)) found();
        else waiting.push({ msg, found });
      }),
    ended: async () => {
      const code = await ended;
      const lines = text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Line);
      return { code, lines, messages: lines.map((line) => line.msg) };
    },
  };
}

describe('a service process', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'told to stop by %s is not ready, drains, closes, flushes its log and exits with 0',
    async (signal) => {
      const service = run({ drain: 'ends', drainDeadlineMs: 5_000 });
      await service.said('started');
      service.child.kill(signal);
      const { code, lines, messages } = await service.ended();
      expect(code).toBe(0);
      expect(messages).toEqual([
        'started',
        'shutting down',
        'signal aborted',
        'drain',
        'close',
        'shut down',
      ]);
      expect(lines[3]).toMatchObject({ draining: true });
    },
  );

  it('closes when its drain does not end in time', async () => {
    const service = run({ drain: 'hangs', drainDeadlineMs: 50 });
    await service.said('started');
    service.child.kill('SIGTERM');
    const { code, messages } = await service.ended();
    expect(code).toBe(0);
    expect(messages.slice(-3)).toEqual(['drain deadline reached', 'close', 'shut down']);
  });

  it('closes when its drain fails', async () => {
    const service = run({ drain: 'fails', drainDeadlineMs: 5_000 });
    await service.said('started');
    service.child.kill('SIGTERM');
    const { code, messages } = await service.ended();
    expect(code).toBe(0);
    expect(messages.slice(-3)).toEqual(['drain failed', 'close', 'shut down']);
  });

  it('ends at once at the second signal', async () => {
    const service = run({ drain: 'hangs', drainDeadlineMs: 60_000 });
    await service.said('started');
    service.child.kill('SIGTERM');
    await service.said('drain');
    service.child.kill('SIGTERM');
    const { code, messages } = await service.ended();
    expect(code).toBe(1);
    expect(messages).not.toContain('close');
  });

  it.each(['fails', 'throws at once'])(
    'whose start %s says why and exits with 1',
    async (start) => {
      const { code, lines } = await run({ start, drainDeadlineMs: 5_000 }).ended();
      expect(code).toBe(1);
      expect(lines[0]).toMatchObject({ level: 'fatal', err: { message: 'no database' } });
    },
  );

  it('that meets an uncaught error logs it, closes and exits with 1', async () => {
    const service = run({ start: 'throws later', drain: 'ends', drainDeadlineMs: 5_000 });
    const { code, lines, messages } = await service.ended();
    expect(code).toBe(1);
    expect(lines.find((line) => line.msg === 'uncaught error')).toMatchObject({
      err: { message: 'out of nowhere' },
    });
    expect(messages).toContain('close');
  });
});
