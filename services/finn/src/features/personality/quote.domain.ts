/** Controls, format characters (zero width, direction), separators, surrogates, private use. */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]+/gu;
/** What markup, chat templates and our own quotes are made of. */
const MARKUP = /["“”„«»`<>|{}[\]\\#*_~^=]+/gu;
const SPACES = /\s+/gu;
const VISIBLE = /[\p{L}\p{N}\p{S}\p{P}]/u;

/**
 * Untrusted text as one quoted, single-line phrase of at most `maxChars` code points that holds no
 * quote, line break, control character or markup; `undefined` when nothing visible is left.
 */
export function quoted(text: string, maxChars: number): string | undefined {
  const plain = text
    // Bounds the work before the expensive steps; normalising may lengthen what it keeps.
    .slice(0, maxChars * 16)
    .normalize('NFKC')
    .replace(INVISIBLE, ' ')
    .replace(MARKUP, ' ')
    .replace(SPACES, ' ')
    .trim();
  if (!VISIBLE.test(plain)) return undefined;
  return `"${Array.from(plain).slice(0, maxChars).join('').trim()}"`;
}
