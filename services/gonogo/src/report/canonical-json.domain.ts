import type { Json } from '../gate.domain.ts';

/**
 * JSON with the members of each object in the order of their names' UTF-16 code units and no
 * spaces, so that equal values have equal bytes (as RFC 8785 has it; the numbers here are integers
 * or short decimals, which JSON.stringify prints as that does).
 *
 * @throws TypeError for what JSON has no word for.
 */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map((item: Json) => canonicalJson(item)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
    return `{${members.join(',')}}`;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError('no JSON number');
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError('no JSON value');
  return text;
}

/** Where two values differ, as paths like `gates[3].seen`; empty when they don't. */
export function differences(a: Json | undefined, b: Json | undefined, path = ''): string[] {
  if (isBranch(a) && isBranch(b) && Array.isArray(a) === Array.isArray(b)) {
    const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    return names.flatMap((name) =>
      differences(member(a, name), member(b, name), join(path, name, Array.isArray(a))),
    );
  }
  const same = a !== undefined && b !== undefined && canonicalJson(a) === canonicalJson(b);
  return same ? [] : [path === '' ? 'the whole' : path];
}

type Branch = Readonly<Record<string, Json>>;

function isBranch(value: Json | undefined): value is Branch {
  return typeof value === 'object' && value !== null;
}

function member(value: Branch, name: string): Json | undefined {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

function join(path: string, name: string, isIndex: boolean): string {
  if (isIndex) return `${path}[${name}]`;
  return path === '' ? name : `${path}.${name}`;
}
