const MAX_TOKEN_LENGTH = 64;

/** A property name as one token of a JSON pointer (RFC 6901): shortened, and fit to be stored. */
export function pointerToken(name: string): string {
  const shortened = name.length > MAX_TOKEN_LENGTH ? `${name.slice(0, MAX_TOKEN_LENGTH)}…` : name;
  return shortened
    .toWellFormed()
    .replaceAll('~', '~0')
    .replaceAll('/', '~1')
    .replace(/\p{Cc}/gu, '\u{fffd}');
}
