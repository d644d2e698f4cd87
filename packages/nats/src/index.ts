export { natsOptions } from './connection-options.ts';
export { ensureFlagsBucket } from './flags-bucket.ts';
export { ensureUsageStreams } from './usage-streams.ts';
