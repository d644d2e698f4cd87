import { readFileSync } from 'node:fs';

const ROOT_PACKAGE = new URL('../../../package.json', import.meta.url);

let version: string | undefined;

/** Version of the platform, as the root `package.json` has it; read once. */
export function serviceVersion(): string {
  version ??= readVersion();
  return version;
}

function readVersion(): string {
  const parsed: unknown = JSON.parse(readFileSync(ROOT_PACKAGE, 'utf8'));
  if (typeof parsed !== 'object' || parsed === null || !('version' in parsed)) return 'unknown';
  return typeof parsed.version === 'string' ? parsed.version : 'unknown';
}
