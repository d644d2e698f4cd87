import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;
const RANDOM_BYTES = 10;
const COUNTER_MAX = 0xfff;
/** A fresh millisecond starts its counter in the lower half, so that there is room to count up. */
const COUNTER_SEED_MASK = 0x7ff;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const hex = (byte: number): string => HEX[byte & 0xff] ?? '';

/**
 * Makes a generator of UUID version 7 (RFC 9562, method 1 of section 6.2): ids of one generator
 * sort in the order in which they were made, also within one millisecond and when the clock steps
 * back.
 */
export function createUuidv7(nowMs: () => number = Date.now): () => string {
  const pool = new Uint8Array(POOL_BYTES);
  let offset = POOL_BYTES;
  let lastMs = -1;
  let counter = 0;

  const byteAt = (index: number): number => pool[offset + index] ?? 0;

  return () => {
    if (offset + RANDOM_BYTES > POOL_BYTES) {
      randomFillSync(pool);
      offset = 0;
    }
    const now = nowMs();
    if (now > lastMs) {
      lastMs = now;
      counter = ((byteAt(0) << 8) | byteAt(1)) & COUNTER_SEED_MASK;
    } else if (counter < COUNTER_MAX) {
      counter += 1;
    } else {
      lastMs += 1;
      counter = 0;
    }
    const high = Math.floor(lastMs / 0x1_0000);
    const low = lastMs % 0x1_0000;
    const id =
      `${hex(high >>> 24)}${hex(high >>> 16)}${hex(high >>> 8)}${hex(high)}-` +
      `${hex(low >>> 8)}${hex(low)}-${hex(0x70 | (counter >>> 8))}${hex(counter)}-` +
      `${hex(0x80 | (byteAt(2) & 0x3f))}${hex(byteAt(3))}-` +
      `${hex(byteAt(4))}${hex(byteAt(5))}${hex(byteAt(6))}${hex(byteAt(7))}${hex(byteAt(8))}${hex(byteAt(9))}`;
    offset += RANDOM_BYTES;
    return id;
  };
}

/** A new UUID version 7 in lower case, monotonic within this process. */
export const uuidv7 = createUuidv7();
