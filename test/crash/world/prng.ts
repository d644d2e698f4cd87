/** Numbers that look random and are the same for the same seed, on every machine. */
export interface Prng {
  /** In [0, 1). */
  next(): number;
  /** A whole number from `least` to `most`, both included. */
  int(least: number, most: number): number;
  pick<T>(items: readonly [T, ...T[]]): T;
  shuffled<T>(items: readonly T[]): T[];
}

/** mulberry32: 32 bits of state are plenty for a schedule. `stream` keeps two uses of one seed apart. */
export function createPrng(seed: number, stream: string): Prng {
  let state = mix(seed, stream);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const int = (least: number, most: number): number =>
    least + Math.floor(next() * (most - least + 1));
  return {
    next,
    int,
    pick: (items) => items[int(0, items.length - 1)] ?? items[0],
    shuffled(items) {
      const deck = [...items];
      for (let last = deck.length - 1; last > 0; last -= 1) {
        const other = int(0, last);
        [deck[last], deck[other]] = [deck[other]!, deck[last]!];
      }
      return deck;
    },
  };
}

/** FNV-1a over both, so that neighbouring seeds begin far apart. */
function mix(seed: number, stream: string): number {
  let hash = 0x811c9dc5;
  for (const character of `${String(seed)}/${stream}`) {
    hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  }
  return hash | 0;
}
