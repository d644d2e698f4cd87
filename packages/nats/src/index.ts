export { natsOptions } from './connection-options.ts';
export { ensureUsageStreams } from './usage-streams.ts';
