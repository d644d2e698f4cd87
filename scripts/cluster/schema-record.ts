/** The note about the schema that a migration run leaves in the database. */

const PREFIX = 'arrakis migrations: ';

export function formatRecord(names: readonly string[]): string {
  return `${PREFIX}${names.join(' ')}`;
}

/** Names of the migrations that have run; none when the text is somebody else's. */
export function readRecord(text: string): ReadonlySet<string> {
  if (!text.startsWith(PREFIX)) return new Set();
  return new Set(text.slice(PREFIX.length).split(' '));
}

/**
 * Those of `needed` that have not run. More may have run than are needed: a schema is only ever added
 * to, so that the version before still works with it.
 */
export function missingFrom(ran: ReadonlySet<string>, needed: readonly string[]): string[] {
  return needed.filter((name) => !ran.has(name));
}
