import {
  GENESIS_HASH,
  checkpointLine,
  headerLine,
  recordBody,
  recordLine,
  type Head,
} from '@arrakis/audit';
import type { Queryable } from '@arrakis/postgres';
import * as store from './store.ts';

/** The cursor names no checkpoint: a trail can be cut between batches only. */
export class ExportCursorError extends Error {
  constructor(sequence: bigint) {
    super(`sequence ${sequence} is not that of a checkpoint`);
    this.name = 'ExportCursorError';
  }
}

export interface ExportOptions {
  /** Sequence of the checkpoint to go on from; 0 for everything. */
  readonly after: bigint;
  readonly exportedAt: Date;
}

/**
 * The trail as lines without line feeds, a batch at a time: the header, then every link up to the
 * checkpoint that was the last when it began. What it reads never changes, so it needs no
 * transaction and holds nothing.
 *
 * @throws ExportCursorError
 */
export async function* exportTrail(
  db: Queryable,
  options: ExportOptions,
): AsyncGenerator<readonly string[]> {
  const start = await headAt(db, options.after);
  const last = (await store.lastCheckpoint(db))?.sequence ?? 0n;
  yield [
    headerLine({
      after: start.sequence,
      last,
      previous: start.hash,
      exportedAt: options.exportedAt.toISOString(),
    }),
  ];
  for (let after = start.sequence; after < last;) {
    const batch = await readBatch(db, after);
    if (batch === undefined) return;
    yield batch.lines;
    after = batch.sequence;
  }
}

/** @throws ExportCursorError */
async function headAt(db: Queryable, sequence: bigint): Promise<Head> {
  if (sequence === 0n) return { sequence, hash: GENESIS_HASH };
  const checkpoint = await store.findCheckpoint(db, sequence);
  if (checkpoint === undefined) throw new ExportCursorError(sequence);
  return { sequence, hash: checkpoint.hash };
}

export interface Batch {
  /** Of its checkpoint. */
  readonly sequence: bigint;
  readonly checkpoint: store.StoredCheckpoint;
  readonly lines: readonly string[];
}

/** The batch after that sequence, as lines; `undefined` when there is none yet. */
export async function readBatch(db: Queryable, after: bigint): Promise<Batch | undefined> {
  const checkpoint = await store.nextCheckpoint(db, after);
  if (checkpoint === undefined) return undefined;
  const { sequence, body, hash, signature } = checkpoint;
  const records = await store.readRecords(db, after + 1n, sequence - 1n);
  const lines = records.map(({ record, hash }) => recordLine(recordBody(record), hash));
  lines.push(checkpointLine(body, hash, signature));
  return { sequence, checkpoint, lines };
}
