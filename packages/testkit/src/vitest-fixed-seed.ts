import fc from 'fast-check';

/** Any would do. */
const SEED = 1;

// What a run finds must come of the change it is run for, not of the day's luck: properties draw the
// same values every time. FC_SEED draws others, `random` new ones; a failure names its seed.
const asked = process.env.FC_SEED ?? String(SEED);
if (asked !== 'random') {
  const seed = Number(asked);
  if (!Number.isSafeInteger(seed)) {
    throw new Error('FC_SEED is not a whole number and not `random`');
  }
  fc.configureGlobal({ seed });
}
