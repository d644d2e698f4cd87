import type { ApiKeySummary } from '../../services/freeside/src/features/api-keys/api-key.domain.ts';

/** What a script may read of a key: snake case as in our HTTP API, times in RFC 3339. */
export function keyJson(key: ApiKeySummary): Record<string, unknown> {
  return {
    id: key.keyId,
    key_prefix: key.keyPrefix,
    environment: key.environment,
    name: key.name,
    user_id: key.userId,
    user_name: key.userName,
    community_id: key.communityId,
    community: key.communitySlug,
    scopes: key.scopes,
    rate_limit_rpm: key.limits.requestsPerMinute,
    rate_limit_tpd: key.limits.tokensPerDay,
    pepper_version: key.pepperVersion,
    is_active: key.isActive,
    created_at: key.createdAt.toISOString(),
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
    revoked_at: key.revokedAt?.toISOString() ?? null,
  };
}

/** Limits and rights of one key, in a line. */
export function describeKey(key: ApiKeySummary): string {
  const { requestsPerMinute, tokensPerDay } = key.limits;
  const sandbox = key.environment === 'test' ? ' Sandbox: only the cheap pool answers.' : '';
  return (
    `It may make ${requestsPerMinute.toLocaleString('en')} requests a minute and use ` +
    `${tokensPerDay.toLocaleString('en')} tokens a day (scopes: ${key.scopes.join(', ')}).${sandbox}`
  );
}

/** Keys as a table for a terminal, newest first. */
export function keyTable(keys: readonly ApiKeySummary[]): string {
  if (keys.length === 0) {
    return 'No keys. Make one with: node scripts/keys/api-key.ts create --community <slug> --user <name>';
  }
  const header = [
    'prefix',
    'state',
    'name',
    'user',
    'community',
    'rpm',
    'tpd',
    'pepper',
    'created',
    'last used',
  ];
  const rows = keys.map((key) => [
    key.keyPrefix,
    key.isActive ? 'active' : 'revoked',
    key.name,
    key.userName,
    key.communitySlug,
    String(key.limits.requestsPerMinute),
    String(key.limits.tokensPerDay),
    String(key.pepperVersion),
    minute(key.createdAt),
    key.lastUsedAt === undefined ? 'never' : minute(key.lastUsedAt),
  ]);
  return table([header, ...rows]);
}

/** Columns as wide as their widest cell, two spaces apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** UTC, to the minute. */
export function minute(time: Date): string {
  return `${time.toISOString().slice(0, 16).replace('T', ' ')}Z`;
}
