import { describe, expect, it } from 'vitest';
import { createUuidv7, uuidv7 } from './uuidv7.ts';

const SHAPE = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('a UUID version 7', () => {
  it('has version, variant and the time in front', () => {
    const id = createUuidv7(() => 0x0123_4567_89ab)();
    expect(id).toMatch(SHAPE);
    expect(id.slice(0, 13)).toBe('01234567-89ab');
    expect(uuidv7()).toMatch(SHAPE);
  });

  it('never repeats and always grows, however many come in one millisecond', () => {
    const next = createUuidv7(() => 1_700_000_000_000);
    const ids = Array.from({ length: 20_000 }, next);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toEqual(ids.toSorted());
    expect(ids.every((id) => SHAPE.test(id))).toBe(true);
  });

  it('grows also when the clock steps back', () => {
    let now = 1_700_000_000_000;
    const next = createUuidv7(() => now);
    const before = next();
    now -= 60_000;
    expect(next() > before).toBe(true);
  });

  it('differs between generators that see the same clock', () => {
    const clock = (): number => 1_700_000_000_000;
    expect(createUuidv7(clock)()).not.toBe(createUuidv7(clock)());
  });
});
