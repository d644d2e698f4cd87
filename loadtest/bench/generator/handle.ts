import { join } from 'node:path';
import { LoadProcess } from '../lib/load-process.ts';
import type { MeterReading } from '../lib/meter.ts';
import type { Load, LoadResult } from './protocol.ts';

/** A load and what it cost while it was measured. */
export type Measurement = LoadResult & MeterReading;
export type Generator = LoadProcess<Load, LoadResult>;

export function startGenerator(): Generator {
  return new LoadProcess(join(import.meta.dirname, '../generator.ts'));
}
