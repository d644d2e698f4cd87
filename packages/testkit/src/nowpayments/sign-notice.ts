import { createHmac } from 'node:crypto';

/** As the vendor's helper does: the members of every object sorted by name, then stringified. */
export function signNotice(body: unknown, secret: string): string {
  return createHmac('sha512', secret)
    .update(JSON.stringify(sortNames(body)))
    .digest('hex');
}

function sortNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortNames);
  if (typeof value !== 'object' || value === null) return value;
  const members = value as Record<string, unknown>;
  return Object.fromEntries(
    Object.keys(members)
      .sort()
      .map((name) => [name, sortNames(members[name])]),
  );
}
