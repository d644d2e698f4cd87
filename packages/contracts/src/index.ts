export * from './flags.ts';
export * from './inference.ts';
export * from './problem.ts';
export * from './s2s.ts';
export * from './sse.ts';
export * from './tiers.ts';
export * from './usage-event.ts';
