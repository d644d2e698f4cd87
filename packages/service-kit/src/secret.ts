import { inspect } from 'node:util';

const REDACTED = '[secret]';

/**
 * A value that must not be printed. Every implicit way out of it (template literal, JSON, inspect,
 * log serializer) yields a placeholder; only `reveal()` gives the text.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The text itself: for the one call that needs it, never for a variable that lives on. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.toPrimitive](): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
