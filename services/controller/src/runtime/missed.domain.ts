/** Names of objects and the versions they have. */
export type Versions = ReadonlyMap<string, string>;

/** Names whose object came, changed or went between what is known and what was listed. */
export function missedNames(known: Versions, listed: Versions): string[] {
  const changed = [...listed].filter(([name, version]) => known.get(name) !== version);
  const gone = [...known.keys()].filter((name) => !listed.has(name));
  return [...changed.map(([name]) => name), ...gone];
}
