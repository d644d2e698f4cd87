/** All chance of a history, from its number alone: the same seed draws the same. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    // sfc32, seeded by a mix of the number, so that neighbours have nothing in common.
    this.#a = mix(seed);
    this.#b = mix(this.#a ^ Math.floor(seed / 2 ** 32));
    this.#c = mix(this.#b);
    this.#d = 1;
    for (let i = 0; i < 12; i += 1) this.#draw();
  }

  #draw(): number {
    const sum = (this.#a + this.#b + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + (this.#draw() % (most - least + 1));
  }

  chance(probability: number): boolean {
    return probability > 0 && this.#draw() < probability * 2 ** 32;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.#draw() % items.length] as Item;
  }
}

function mix(value: number): number {
  let x = (value + 0x9e3779b9) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}
