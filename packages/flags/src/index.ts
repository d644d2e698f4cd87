export {
  readDocument,
  readTexts,
  writeDocument,
  type NewStatement,
  type Statement,
} from './document.domain.ts';
export { NOTHING_TOLD } from './effective.domain.ts';
export { createFlags, type Flags, type FlagsOptions, type FlagsSnapshot } from './flags.ts';
export { createFlagMetrics } from './metrics.ts';
export {
  openFlagsBucket,
  readFlags,
  writeFlags,
  type FlagsBucket,
  type StoredFlags,
} from './write-flags.ts';
