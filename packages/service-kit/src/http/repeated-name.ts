import { pointerToken } from './field-name.ts';

const QUOTE = '"'.charCodeAt(0);
const COLON = ':'.charCodeAt(0);

/** How many members the objects of a valid JSON text have, as written: a colon outside strings each. */
export function countNames(json: string): number {
  let names = 0;
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) at = endOfString(json, at);
    else if (code === COLON) names += 1;
  }
  return names;
}

interface Level {
  /** Of an object; an array has an index instead. */
  readonly names: Set<string> | undefined;
  token: string;
  index: number;
}

/** JSON pointer to the first member of a valid JSON text that its object had before. */
export function findRepeatedName(json: string): string | undefined {
  const levels: Level[] = [];
  for (let at = 0; at < json.length; at += 1) {
    const character = json.charAt(at);
    if (character !== '"') {
      step(levels, character);
      continue;
    }
    const end = endOfString(json, at);
    if (isRepeated(levels.at(-1), json, at, end)) return pointerOf(levels);
    at = end;
  }
  return undefined;
}

/** Goes into and out of objects and arrays, and on to an array's next item. */
function step(levels: Level[], character: string): void {
  const level = levels.at(-1);
  if (character === '{') levels.push({ names: new Set(), token: '', index: 0 });
  else if (character === '[') levels.push({ names: undefined, token: '', index: 0 });
  else if (character === '}' || character === ']') levels.pop();
  else if (character === ',' && level !== undefined) level.index += 1;
}

/** Whether the string is a name that its object has already; remembers it if it isn't. */
function isRepeated(level: Level | undefined, json: string, start: number, end: number): boolean {
  if (level?.names === undefined || !/^\s*:/.test(json.slice(end + 1, end + 64))) return false;
  level.token = JSON.parse(json.slice(start, end + 1)) as string;
  if (level.names.has(level.token)) return true;
  level.names.add(level.token);
  return false;
}

function pointerOf(levels: readonly Level[]): string {
  const tokens = levels.map(({ names, token, index }) =>
    names === undefined ? String(index) : pointerToken(token),
  );
  return `/${tokens.join('/')}`;
}

/** Index of the quote that ends the string which begins at `start`. */
function endOfString(json: string, start: number): number {
  let end = json.indexOf('"', start + 1);
  while (end !== -1 && isEscaped(json, end)) end = json.indexOf('"', end + 1);
  return end === -1 ? json.length : end;
}

function isEscaped(json: string, at: number): boolean {
  let before = at;
  while (json[before - 1] === '\\') before -= 1;
  return (at - before) % 2 === 1;
}
