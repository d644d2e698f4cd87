import { pointerToken } from './field-name.ts';
import { countNames, findRepeatedName } from './repeated-name.ts';

export interface BodyBounds {
  /** Objects and arrays inside one another. */
  readonly maxDepth: number;
  /** Values in the whole body: bounds what validation has to look at. */
  readonly maxValues: number;
}

export interface BodyFault {
  readonly kind: 'encoding' | 'depth' | 'size' | 'prototype' | 'repeated';
  /** JSON pointer to the fault. */
  readonly field: string;
}

/**
 * Escapes that can make a NUL or half a surrogate pair. Nothing else can: a raw NUL is no JSON, and
 * a raw surrogate no UTF-8. So strings are looked at only if the text has one of these.
 */
const SUSPICIOUS_ESCAPE = /\\u(?:0000|[dD][89a-fA-F])/;

/**
 * Finds what parsed as JSON but must not come further: nesting or size beyond the bounds, strings or
 * names that PostgreSQL cannot store, names that could reach a prototype, and names given twice,
 * which two parsers might read differently.
 */
export function findBodyFault(
  text: string,
  value: unknown,
  bounds: BodyBounds,
): BodyFault | undefined {
  const scan: Scan = {
    bounds,
    checkText: SUSPICIOUS_ESCAPE.test(text),
    values: 0,
    names: 0,
    // Filled from the fault upwards, so that a sound body pays for no pointer.
    path: [],
  };
  const kind = visit(scan, value, 0);
  if (kind === undefined) return repeatedName(text, scan.names);
  return { kind, field: `/${scan.path.reverse().map(pointerToken).join('/')}` };
}

/** The parser keeps the last of equal names, so fewer members than names tell of one given twice. */
function repeatedName(text: string, members: number): BodyFault | undefined {
  if (countNames(text) === members) return undefined;
  return { kind: 'repeated', field: findRepeatedName(text) ?? '/' };
}

interface Scan {
  readonly bounds: BodyBounds;
  readonly checkText: boolean;
  readonly path: string[];
  values: number;
  names: number;
}

type Found = BodyFault['kind'] | undefined;

const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes('\0');

function visit(scan: Scan, value: unknown, depth: number): Found {
  scan.values += 1;
  if (scan.values > scan.bounds.maxValues) return 'size';
  if (typeof value === 'string') {
    return scan.checkText && !isStorable(value) ? 'encoding' : undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth >= scan.bounds.maxDepth) return 'depth';
  return Array.isArray(value)
    ? visitItems(scan, value, depth + 1)
    : visitMembers(scan, value as Record<string, unknown>, depth + 1);
}

function visitItems(scan: Scan, items: readonly unknown[], depth: number): Found {
  for (let index = 0; index < items.length; index += 1) {
    const found = visit(scan, items[index], depth);
    if (found !== undefined) return at(scan, String(index), found);
  }
  return undefined;
}

function visitMembers(scan: Scan, members: Record<string, unknown>, depth: number): Found {
  for (const name of Object.keys(members)) {
    scan.names += 1;
    const value = members[name];
    if (scan.checkText && !isStorable(name)) return at(scan, name, 'encoding');
    if (reachesPrototype(name, value)) return at(scan, name, 'prototype');
    const found = visit(scan, value, depth);
    if (found !== undefined) return at(scan, name, found);
  }
  return undefined;
}

function reachesPrototype(name: string, value: unknown): boolean {
  if (name === '__proto__') return true;
  if (name !== 'constructor' || typeof value !== 'object' || value === null) return false;
  return Object.hasOwn(value, 'prototype');
}

function at(scan: Scan, token: string, found: BodyFault['kind']): Found {
  // Too many values is a fault of the whole body, wherever the count ran out.
  if (found !== 'size') scan.path.push(token);
  return found;
}
