import { readFileSync } from 'node:fs';
import { Type, type Static, type TObject, type TUnsafe } from 'typebox';
import { Value } from 'typebox/value';
import { Secret } from './secret.ts';

/** What `loadEnv` reads of a property's schema. */
export interface EnvProperty {
  readonly type?: string;
  readonly enum?: readonly (string | number)[];
  readonly anyOf?: readonly EnvProperty[];
  readonly const?: string | number | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly description?: string;
  readonly default?: string | number | boolean;
  readonly secret?: boolean;
}

export interface SecretStringOptions {
  readonly description: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

/**
 * A variable whose value is a secret: `loadEnv` hands it back as {@link Secret}, reads it from the
 * file named in `NAME_FILE` if that is set, and never takes a default for it.
 */
export function SecretString(options: SecretStringOptions): TUnsafe<Secret> {
  return Type.Unsafe<Secret>({ type: 'string', minLength: 1, ...options, secret: true });
}

export interface EnvFault {
  readonly name: string;
  readonly expected: string;
}

/** Names each variable that is missing or wrong and what was expected; holds no value. */
export class EnvError extends Error {
  readonly faults: readonly EnvFault[];

  constructor(faults: readonly EnvFault[]) {
    const lines = faults.map((fault) => `  ${fault.name}: expected ${fault.expected}`);
    super(`The environment is not usable:\n${lines.join('\n')}`);
    this.name = 'EnvError';
    this.faults = faults;
  }
}

/**
 * Reads the variables that `schema` names from `raw`. Strings become the property's type (string,
 * integer, number, boolean as `true`/`false`, enumeration); an empty string counts as absent;
 * unknown variables are ignored; the result is frozen.
 *
 * @throws EnvError that lists every bad variable at once.
 */
export function loadEnv<S extends TObject>(
  schema: S,
  raw: Readonly<Record<string, string | undefined>>,
): Static<S> {
  const required = new Set<string>(schema.required);
  const faults: EnvFault[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, property] of envProperties(schema)) {
    const outcome = readVariable(name, property, raw);
    if ('fault' in outcome) faults.push({ name, expected: outcome.fault });
    else if (outcome.value !== undefined) values[name] = outcome.value;
    else if (required.has(name)) faults.push({ name, expected: describeExpectation(property) });
  }
  if (faults.length > 0) throw new EnvError(faults);
  return Object.freeze(values) as Static<S>;
}

export function envProperties(schema: TObject): [string, EnvProperty][] {
  return Object.entries(schema.properties);
}

type Outcome = { readonly value: unknown } | { readonly fault: string };

function readVariable(
  name: string,
  property: EnvProperty,
  raw: Readonly<Record<string, string | undefined>>,
): Outcome {
  const source = property.secret === true ? readSecretText(name, raw) : { value: raw[name] };
  if ('fault' in source) return source;
  const text = source.value;
  if (typeof text !== 'string' || text === '') {
    return { value: property.secret === true ? undefined : property.default };
  }
  const value = parseText(text, property);
  if (value === undefined || !Value.Check(property, value)) {
    return { fault: describeExpectation(property) };
  }
  return { value: property.secret === true ? new Secret(text) : value };
}

function readSecretText(
  name: string,
  raw: Readonly<Record<string, string | undefined>>,
): { readonly value: string | undefined } | { readonly fault: string } {
  const fileName = `${name}_FILE`;
  const inline = raw[name] ?? '';
  const path = raw[fileName] ?? '';
  if (path === '') return { value: inline };
  if (inline !== '') return { fault: `either ${name} or ${fileName}, not both` };
  try {
    return { value: readFileSync(path, 'utf8').replace(/\r?\n$/, '') };
  } catch {
    return { fault: `${fileName} to name a readable file` };
  }
}

function parseText(text: string, property: EnvProperty): unknown {
  switch (property.type ?? 'string') {
    case 'integer':
    case 'number':
      return parseNumber(text, property.type === 'integer');
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    default:
      return allowedValues(property)?.find((allowed) => String(allowed) === text) ?? text;
  }
}

function parseNumber(text: string, whole: boolean): number | undefined {
  const shape = whole ? /^-?\d{1,16}$/ : /^-?\d{1,16}(?:\.\d{1,16})?$/;
  if (!shape.test(text)) return undefined;
  const value = Number(text);
  return !whole || Number.isSafeInteger(value) ? value : undefined;
}

/** The closed list of values of an enumeration or a union of literals. */
function allowedValues(property: EnvProperty): readonly (string | number | boolean)[] | undefined {
  if (property.const !== undefined) return [property.const];
  if (property.enum !== undefined) return property.enum;
  const members = property.anyOf?.map((member) => member.const);
  return members?.every((member) => member !== undefined) === true ? members : undefined;
}

/** In words, what a value has to be. */
export function describeExpectation(property: EnvProperty): string {
  const allowed = allowedValues(property);
  if (allowed !== undefined) return `one of ${allowed.join(', ')}`;
  switch (property.type ?? 'string') {
    case 'integer':
      return `an integer${describeRange(property)}`;
    case 'number':
      return `a number${describeRange(property)}`;
    case 'boolean':
      return 'true or false';
    default:
      return describeText(property);
  }
}

function describeRange({ minimum, maximum }: EnvProperty): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  if (maximum !== undefined) return ` of at most ${maximum}`;
  return '';
}

function describeText({ secret, minLength, maxLength, pattern }: EnvProperty): string {
  const bounds = [
    ...(minLength === undefined || minLength < 2 ? [] : [`at least ${minLength} characters`]),
    ...(maxLength === undefined ? [] : [`at most ${maxLength} characters`]),
    ...(pattern === undefined ? [] : [`matching ${pattern}`]),
  ];
  const kind = secret === true ? 'a secret' : 'a string';
  return bounds.length === 0 ? kind : `${kind} (${bounds.join(', ')})`;
}
