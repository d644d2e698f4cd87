import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { ChainVerifier } from './chain-verifier.ts';
import { readLines } from './read-lines.ts';
import { TrailWriter, hold, mint } from './test-support/make-trail.ts';

/** Longer texts are kept outside of the heap, where they can't be told from buffers. */
const CHUNK_BYTES = 512 * 1024;
const CHUNKS = 48;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function usedBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** The first records of a community each, in a chunk of their own as of a long file. */
async function* chunksOf(lines: readonly string[]): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  for (let at = 0; at < lines.length; at += 2) {
    const head = Buffer.from(`${lines.slice(at, at + 2).join('\n')}\n`);
    yield Buffer.concat([
      head,
      Buffer.alloc(CHUNK_BYTES - head.length - 1, 'x'),
      Buffer.from('\n'),
    ]);
  }
}

it.each(['from its beginning', 'from its middle'])(
  'remembers communities of a trail %s, and not the file that they stood in',
  async (where) => {
    const trail = new TrailWriter();
    const enter = (n: number): void => {
      const community = `0c000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
      trail.entry({ ...mint(community, 10n), from: 'crypto_receipts' });
      trail.entry(hold(community, 4n));
    };
    enter(0);
    const after = trail.head;
    for (let n = 1; n <= CHUNKS; n += 1) enter(n);
    const isWhole = where === 'from its beginning';
    const verifier = new ChainVerifier(isWhole ? {} : { after });
    const chunks = chunksOf(isWhole ? trail.lines : trail.lines.slice(2));

    const before = usedBytes();
    for await (const lines of readLines(chunks)) {
      for (const line of lines.slice(0, 2)) expect(verifier.accept(line)).toBeUndefined();
    }
    const keptChunks = (usedBytes() - before) / CHUNK_BYTES;
    expect(verifier.summary().uncompared?.communities).toBe(CHUNKS + (isWhole ? 1 : 0));
    expect(keptChunks).toBeLessThan(CHUNKS / 4);
  },
);
