/**
 * JSON with the text of its numbers kept: a signature covers `10.50`, which a parser would give back
 * as `10.5`.
 */
export type JsonText =
  | { readonly kind: 'object'; readonly members: readonly (readonly [string, JsonText])[] }
  | { readonly kind: 'array'; readonly items: readonly JsonText[] }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'literal'; readonly text: 'true' | 'false' | 'null' };

/** Where and why a text isn't the JSON that is accepted. */
export class JsonTextError extends Error {
  override readonly name = 'JsonTextError';
}

const BLANK = /[ \t\n\r]*/y;
// With its quotes; inside, no raw control character and no escape but JSON's own.
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LITERAL = /true|false|null/y;

const MAX_DEPTH = 16;
/** The vendor's notices have some thirty. */
const MAX_VALUES = 256;

/**
 * Reads a whole text. Beside what is no JSON it refuses what two readers might take differently: a
 * name twice in one object, `__proto__`, half a surrogate pair, NUL, and nesting or size beyond any
 * sense.
 *
 * @throws JsonTextError; its message names the place and never quotes the text.
 */
export function parseJsonText(
  text: string,
  bounds: { readonly maxValues: number } = { maxValues: MAX_VALUES },
): JsonText {
  const reader = new Reader(text, bounds.maxValues);
  const value = reader.value(0);
  reader.end();
  return value;
}

/**
 * The text that the vendor signs: no blanks, the members of every object sorted by name, arrays in
 * their order, strings as `JSON.stringify` writes them, numbers as they came.
 */
export function canonicalText(value: JsonText): string {
  switch (value.kind) {
    case 'string':
      return JSON.stringify(value.value);
    case 'array':
      return `[${value.items.map(canonicalText).join(',')}]`;
    case 'object': {
      const sorted = [...value.members].sort(([a], [b]) => (a < b ? -1 : 1));
      const members = sorted.map(([name, one]) => `${JSON.stringify(name)}:${canonicalText(one)}`);
      return `{${members.join(',')}}`;
    }
    case 'number':
    case 'literal':
      return value.text;
  }
}

class Reader {
  readonly #text: string;
  readonly #maxValues: number;
  #at = 0;
  #values = 0;

  constructor(text: string, maxValues: number) {
    this.#text = text;
    this.#maxValues = maxValues;
  }

  value(depth: number): JsonText {
    this.#values += 1;
    if (this.#values > this.#maxValues) throw this.#fault(`more than ${this.#maxValues} values`);
    if (depth > MAX_DEPTH) throw this.#fault(`nested deeper than ${MAX_DEPTH}`);
    this.#take(BLANK);
    const first = this.#text[this.#at];
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#array(depth);
    if (first === '"') return { kind: 'string', value: this.#string() };
    return this.#scalar();
  }

  end(): void {
    this.#take(BLANK);
    if (this.#at < this.#text.length) throw this.#fault('something after the value');
  }

  #object(depth: number): JsonText {
    const members: [string, JsonText][] = [];
    const names = new Set<string>();
    this.#list('{', '}', () => {
      this.#take(BLANK);
      const name = this.#string();
      if (names.has(name)) throw this.#fault('a name is given twice');
      if (name === '__proto__') throw this.#fault('the name __proto__');
      names.add(name);
      this.#take(BLANK);
      this.#expect(':');
      members.push([name, this.value(depth + 1)]);
    });
    return { kind: 'object', members };
  }

  #array(depth: number): JsonText {
    const items: JsonText[] = [];
    this.#list('[', ']', () => items.push(this.value(depth + 1)));
    return { kind: 'array', items };
  }

  #list(open: string, close: string, one: () => void): void {
    this.#expect(open);
    this.#take(BLANK);
    if (this.#text[this.#at] !== close) {
      one();
      this.#take(BLANK);
      while (this.#text[this.#at] === ',') {
        this.#at += 1;
        one();
        this.#take(BLANK);
      }
    }
    this.#expect(close);
  }

  #string(): string {
    const quoted = this.#take(STRING);
    if (quoted === undefined) throw this.#fault('no valid string');
    const value = JSON.parse(quoted) as string;
    if (!value.isWellFormed()) throw this.#fault('half a surrogate pair');
    if (value.includes('\0')) throw this.#fault('a NUL');
    return value;
  }

  #scalar(): JsonText {
    const literal = this.#take(LITERAL);
    if (literal !== undefined) {
      return { kind: 'literal', text: literal as 'true' | 'false' | 'null' };
    }
    const number = this.#take(NUMBER);
    if (number === undefined) throw this.#fault('no value');
    return { kind: 'number', text: number };
  }

  #expect(character: string): void {
    if (this.#text[this.#at] !== character) throw this.#fault(`no "${character}"`);
    this.#at += 1;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #fault(what: string): JsonTextError {
    return new JsonTextError(`${what} at character ${this.#at}`);
  }
}
