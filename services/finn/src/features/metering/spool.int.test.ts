import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { meterStart } from './test-support/meter-start.ts';
import { SpoolFullError } from './metering.ts';
import { SpoolLockedError } from './spool-lock.ts';
import { Spool, type SpoolEntry } from './spool.ts';
import { finalEvent } from './usage-event.domain.ts';

const FULL_DISK_CHILD = fileURLToPath(
  new URL('./test-support/full-disk-child.ts', import.meta.url),
);
const now = new Date('2026-11-22T10:00:00Z');
let dir: string;
let opened: Spool[];
let writeErrors: unknown[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'spool-'));
  opened = [];
  writeErrors = [];
});
afterEach(async () => {
  for (const spool of opened) spool.close();
  await rm(dir, { recursive: true, force: true });
});

function open(maxBytes = 64 * 1024 * 1024): Spool {
  const onWriteError = (error: unknown): unknown => writeErrors.push(error);
  const spool = new Spool({ dir, maxBytes, now: () => now, onWriteError });
  opened.push(spool);
  return spool;
}

/** What a `kill -9` leaves: the files as they are now, without an orderly end. */
function reopenAfterCrash(maxBytes?: number): Spool {
  const files = journals().map((file) => [file, readFileSync(join(dir, file))] as const);
  opened.pop()?.close();
  for (const file of journals()) rmSync(join(dir, file));
  for (const [file, bytes] of files) writeFileSync(join(dir, file), bytes);
  return open(maxBytes);
}

const journals = (): string[] => readdirSync(dir).filter((file) => file.endsWith('.journal'));

function finish(spool: Spool, entry: SpoolEntry, completionTokens: number): void {
  const count = { promptTokens: 12, completionTokens, latencyMs: 5 };
  spool.finish(entry, finalEvent(entry.start, count, now));
}

describe('after a crash', () => {
  test('a stream without an end is recovered with its largest journaled count', async () => {
    const spool = open();
    const entry = spool.begin(meterStart());
    spool.progress(entry, 3);
    spool.progress(entry, 8);
    await nextTurn();
    const recovered = reopenAfterCrash();
    expect(recovered.recovered).toBe(1);
    expect([...recovered.pendingEvents()]).toMatchObject([
      {
        budget_reservation_id: entry.start.reservationId,
        completion_tokens: 8,
        finality: 'recovered',
      },
    ]);
  });

  test('the start alone is on the disk as soon as begin returns', () => {
    open().begin(meterStart());
    expect([...reopenAfterCrash().pendingEvents()]).toMatchObject([{ completion_tokens: 0 }]);
  });

  test('the final count is on the disk as soon as finish returns', () => {
    const spool = open();
    finish(spool, spool.begin(meterStart()), 42);
    const recovered = reopenAfterCrash();
    expect(recovered.recovered).toBe(0);
    expect([...recovered.pendingEvents()]).toMatchObject([
      { completion_tokens: 42, finality: 'final' },
    ]);
  });

  test('an acknowledged event does not come back', async () => {
    const spool = open();
    const entry = spool.begin(meterStart());
    finish(spool, entry, 42);
    spool.acked(entry.start.reservationId);
    await nextTurn();
    expect(reopenAfterCrash().pending).toBe(0);
  });

  test('an abandoned stream leaves nothing', () => {
    const spool = open();
    spool.abandon(spool.begin(meterStart()));
    expect(reopenAfterCrash().pending).toBe(0);
  });

  test('what was recovered is still there after the next crash, unchanged', async () => {
    const spool = open();
    const entry = spool.begin(meterStart());
    spool.progress(entry, 8);
    await nextTurn();
    const first = [...reopenAfterCrash().pendingEvents()];
    const again = reopenAfterCrash();
    expect([...again.pendingEvents()]).toEqual(first);
    expect(again.recovered).toBe(0);
  });

  test('an event keeps the trace of its answer, whether it was finished or recovered', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const spool = open();
    const [ended, cut, untraced] = [
      spool.begin({ ...meterStart(), traceparent }),
      spool.begin({ ...meterStart(), traceparent }),
      spool.begin(meterStart()),
    ];
    finish(spool, ended, 42);
    for (const recovered of [reopenAfterCrash(), reopenAfterCrash()]) {
      expect(recovered.traceparentOf(ended.start.reservationId)).toBe(traceparent);
      expect(recovered.traceparentOf(cut.start.reservationId)).toBe(traceparent);
      expect(recovered.traceparentOf(untraced.start.reservationId)).toBeUndefined();
    }
  });

  test('a torn last line costs only itself', async () => {
    const spool = open();
    const entry = spool.begin(meterStart());
    spool.progress(entry, 5);
    await nextTurn();
    const streams = journals().find((file) => file.startsWith('streams'))!;
    const path = join(dir, streams);
    writeFileSync(path, `{"p":"${entry.start.reservationId}","k":9`, { flag: 'a' });
    expect([...reopenAfterCrash().pendingEvents()]).toMatchObject([{ completion_tokens: 5 }]);
  });
});

describe('progress', () => {
  test('of one turn is written once, together', async () => {
    const spool = open();
    const entries = Array.from({ length: 50 }, () => spool.begin(meterStart()));
    const before = spool.bytes;
    for (let tokens = 1; tokens <= 20; tokens += 1) {
      for (const entry of entries) spool.progress(entry, tokens);
    }
    expect(spool.bytes).toBe(before);
    await nextTurn();
    expect(spool.bytes - before).toBeLessThan(50 * 70);
  });

  test('never goes back', async () => {
    const spool = open();
    const entry = spool.begin(meterStart());
    spool.progress(entry, 5);
    spool.progress(entry, 2);
    await nextTurn();
    expect([...reopenAfterCrash().pendingEvents()]).toMatchObject([{ completion_tokens: 5 }]);
  });
});

describe('the size', () => {
  const maxBytes = 256 * 1024;

  test('stays small for as long as events are acknowledged', async () => {
    const spool = open(maxBytes);
    for (let round = 0; round < 2000; round += 1) {
      const entry = spool.begin(meterStart());
      spool.progress(entry, 1);
      await nextTurn();
      finish(spool, entry, 2);
      spool.acked(entry.start.reservationId);
    }
    await nextTurn();
    expect(spool.bytes).toBeLessThan(maxBytes / 2);
    expect(journals().length).toBeLessThanOrEqual(4);
    expect(writeErrors).toEqual([]);
  });

  test('is bounded while nothing is acknowledged: then starts are refused, running streams fit', async () => {
    const spool = open(maxBytes);
    const running = Array.from({ length: 20 }, () => spool.begin(meterStart()));
    let ended = 0;
    expect(() => {
      for (; ended < 5000; ended += 1) finish(spool, spool.begin(meterStart()), 1);
    }).toThrow(SpoolFullError);
    expect(ended).toBeGreaterThan(50);
    for (let tokens = 1; tokens <= 500; tokens += 1) {
      for (const entry of running) spool.progress(entry, tokens);
      await nextTurn();
    }
    for (const entry of running) finish(spool, entry, 500);
    expect(spool.bytes).toBeLessThanOrEqual(maxBytes);
    const recovered = reopenAfterCrash(maxBytes);
    expect(recovered.pending).toBe(ended + 20);
    expect(recovered.recovered).toBe(0);
  });

  test('goes down again with the acknowledgements, and starts are taken again', async () => {
    const spool = open(maxBytes);
    const ids: string[] = [];
    expect(() => {
      for (;;) {
        const entry = spool.begin(meterStart());
        finish(spool, entry, 1);
        ids.push(entry.start.reservationId);
      }
    }).toThrow(SpoolFullError);
    for (const id of ids) spool.acked(id);
    await nextTurn();
    expect(spool.pending).toBe(0);
    expect(() => spool.begin(meterStart())).not.toThrow();
  });

  test('is not held up by one event that is never acknowledged', async () => {
    const spool = open(maxBytes);
    const stuck = spool.begin(meterStart());
    finish(spool, stuck, 77);
    for (let round = 0; round < 2000; round += 1) {
      const entry = spool.begin(meterStart());
      finish(spool, entry, 2);
      spool.acked(entry.start.reservationId);
      if (round % 10 === 0) await nextTurn();
    }
    await nextTurn();
    expect(spool.bytes).toBeLessThan(maxBytes / 2);
    expect([...reopenAfterCrash(maxBytes).pendingEvents()]).toMatchObject([
      { budget_reservation_id: stuck.start.reservationId, completion_tokens: 77 },
    ]);
  });

  test('is not held up by one long stream, which keeps its count', async () => {
    const spool = open(maxBytes);
    const long = spool.begin(meterStart());
    for (let tokens = 1; tokens <= 5000; tokens += 1) {
      spool.progress(long, tokens);
      await nextTurn();
    }
    expect(spool.bytes).toBeLessThan(maxBytes / 2);
    expect([...reopenAfterCrash(maxBytes).pendingEvents()]).toMatchObject([
      { completion_tokens: 5000 },
    ]);
  });
});

describe('the directory', () => {
  test('belongs to one process', () => {
    open();
    expect(() => open()).toThrow(SpoolLockedError);
  });

  test('of a process that is gone, or had the same pid before, is taken over', () => {
    for (const pid of [process.pid, 2 ** 22 - 1]) {
      writeFileSync(join(dir, 'lock'), JSON.stringify({ pid, startedAt: '1' }));
      open().close();
      opened.pop();
    }
  });

  test('of a live process is not', () => {
    // The parent of this worker lives, and its start time is what the system says.
    const stat = readFileSync(`/proc/${String(process.ppid)}/stat`, 'utf8');
    const startedAt = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: process.ppid, startedAt }));
    expect(() => open()).toThrow(SpoolLockedError);
    writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: process.ppid, startedAt: '1' }));
    expect(() => open()).not.toThrow();
  });

  test('never holds more of a stream than the meter was told', () => {
    const spool = open();
    finish(spool, spool.begin(meterStart()), 1);
    const text = journals()
      .map((file) => readFileSync(join(dir, file), 'utf8'))
      .join('');
    const lines = text.trim().split('\n');
    expect(lines.map((line) => Object.keys(JSON.parse(line) as object).join())).toEqual(
      expect.arrayContaining(['s,k', 'x', 'e']),
    );
  });
});

describe('a disk that refuses', () => {
  test('refuses new streams until it takes writes again', () => {
    const spool = open();
    rmSync(dir, { recursive: true });
    expect(() => spool.begin(meterStart())).toThrow(SpoolFullError);
    mkdirSync(dir);
    expect(() => spool.begin(meterStart())).not.toThrow();
    expect(writeErrors).toHaveLength(1);
  });

  test('in the middle of a segment is met with a new one, and the torn line is skipped', () => {
    // Node ignores the signal that the limit sends: writes fail as on a full disk.
    const limited = `ulimit -f 64; exec "$0" "$@"`;
    const printed = execFileSync('bash', ['-c', limited, process.execPath, FULL_DISK_CHILD, dir], {
      encoding: 'utf8',
    });
    expect(JSON.parse(printed)).toEqual({ errors: ['EFBIG'], pending: 1 });
    expect([...open().pendingEvents()]).toMatchObject([
      { completion_tokens: 777, finality: 'final' },
      { completion_tokens: 0, finality: 'recovered' },
    ]);
  });

  test('costs no count of a running stream', async () => {
    const spool = open(256 * 1024);
    const running = spool.begin(meterStart());
    // No segment can be opened or removed any more, as on a full or vanished volume.
    rmSync(dir, { recursive: true });
    const written = spool.bytes;
    for (let tokens = 1; spool.bytes < written + 40_000; tokens += 1) {
      spool.progress(running, tokens);
      await nextTurn();
    }
    expect(writeErrors.length).toBeGreaterThan(0);
    finish(spool, running, 9999);
    expect([...spool.pendingEvents()]).toMatchObject([{ completion_tokens: 9999 }]);
    mkdirSync(dir);
    spool.begin(meterStart());
    expect([...reopenAfterCrash().pendingEvents()]).toMatchObject([
      { completion_tokens: 9999, finality: 'final' },
      { completion_tokens: 0, finality: 'recovered' },
    ]);
  });
});
