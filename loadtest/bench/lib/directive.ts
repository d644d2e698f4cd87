/**
 * What the fake provider is to do, written into the prompt, because that is what every gateway hands
 * on unchanged. So the generator knows the delay of each single request.
 */
export interface Directive {
  /** Before the first byte. */
  readonly delayMs: number;
  readonly tokens: number;
  /** Between two tokens; 0: all at once. */
  readonly paceMs: number;
}

const PATTERN = /\[bench delay=(\d+) tokens=(\d+) pace=(\d+)\]/;

export function formatDirective({ delayMs, tokens, paceMs }: Directive): string {
  return `[bench delay=${delayMs} tokens=${tokens} pace=${paceMs}]`;
}

export function findDirective(body: string): Directive | undefined {
  const match = PATTERN.exec(body);
  if (match === null) return undefined;
  return { delayMs: Number(match[1]), tokens: Number(match[2]), paceMs: Number(match[3]) };
}

const MAX_TOKENS = 4096;
const TOKENS = Array.from({ length: MAX_TOKENS }, (_, index) => ` w${index}`);
const TEXT = TOKENS.join('');
const ENDS = TOKENS.reduce<number[]>((ends, token) => {
  ends.push((ends.at(-1) ?? 0) + token.length);
  return ends;
}, []);

export function tokenText(index: number): string {
  return TOKENS[index] ?? '';
}

/** Every answer of that many tokens is this text, so that one lost or doubled is seen. */
export function answerText(tokens: number): string {
  return TEXT.slice(0, ENDS[tokens - 1] ?? 0);
}

/** Whether `part` is what must stand at that place of an answer. */
export function isTextAt(part: string, offset: number): boolean {
  return TEXT.startsWith(part, offset);
}
