const MEMBER_NAME = /"(?:[^"\\]|\\.)*"(\s*:)?/gs;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses the flat JSON object of a token's header or claims. Refuses what two parsers might read
 * differently: invalid UTF-8, a byte order mark, duplicated members (RFC 7515 section 4 leaves
 * them open), and anything nested inside an object.
 */
export function parseFlatObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  // In valid JSON only a member's name is a string followed by a colon. JSON.parse keeps the last
  // of two equal names, so fewer keys than names means that one was given twice.
  if (countMemberNames(text) !== Object.keys(value).length) return undefined;
  return value as Record<string, unknown>;
}

function countMemberNames(json: string): number {
  let names = 0;
  for (const match of json.matchAll(MEMBER_NAME)) if (match[1] !== undefined) names += 1;
  return names;
}
