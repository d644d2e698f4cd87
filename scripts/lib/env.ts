import { readFileSync } from 'node:fs';

/** The one place in `scripts/` that reads the environment. An empty variable counts as absent. */

/** A variable that is absent or unusable. Its message names the variable, never the value. */
export class EnvError extends Error {
  override readonly name = 'EnvError';
}

export function optionalEnv(name: string): string | undefined {
  const value = process.env[name];
  return value === undefined || value === '' ? undefined : value;
}

/** @throws EnvError naming the variable and what it is for. */
export function requiredEnv(name: string, purpose: string): string {
  const value = optionalEnv(name);
  if (value === undefined) throw new EnvError(`${name} is not set (${purpose})`);
  return value;
}

/**
 * A secret from `NAME`, or from the file that `NAME_FILE` points at (one trailing newline is
 * dropped).
 *
 * @throws EnvError when both are set, or the file can't be read.
 */
export function optionalSecretEnv(name: string): string | undefined {
  const value = optionalEnv(name);
  const file = optionalEnv(`${name}_FILE`);
  if (file === undefined) return value;
  if (value !== undefined) throw new EnvError(`${name} and ${name}_FILE are both set`);
  try {
    const text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    return text === '' ? undefined : text;
  } catch (error) {
    throw new EnvError(`${name}_FILE can't be read`, { cause: error });
  }
}

/** @throws EnvError when it is absent, or as {@link optionalSecretEnv}. */
export function requiredSecretEnv(name: string, purpose: string): string {
  const value = optionalSecretEnv(name);
  if (value === undefined) throw new EnvError(`${name} or ${name}_FILE is not set (${purpose})`);
  return value;
}

/** @throws EnvError when the variable is no integer within the bounds. */
export function integerEnv(name: string, bounds: { min: number; max: number }): number | undefined {
  const text = optionalEnv(name);
  if (text === undefined) return undefined;
  const value = /^-?\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= bounds.min && value <= bounds.max)) {
    throw new EnvError(
      `${name} must be a whole number from ${String(bounds.min)} to ${String(bounds.max)}`,
    );
  }
  return value;
}

/** True for `1`, `true` and `yes`. */
export function flagEnv(name: string): boolean {
  return ['1', 'true', 'yes'].includes((optionalEnv(name) ?? '').toLowerCase());
}

/**
 * What a child process needs of our own environment to run at all: paths, locale, proxies and
 * certificates. Everything else is handed over by name, so that a stray variable of the
 * developer's shell never configures a service.
 */
export function baseEnv(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && KEPT.test(entry[0]),
  );
  return { ...Object.fromEntries(kept), ...extra };
}

const KEPT =
  /^(?:PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TERM|LANG|LC_\w+|TZ|NODE_EXTRA_CA_CERTS|SSL_CERT_\w+|(?:https?|no|all)_proxy|HTTPS?_PROXY|NO_PROXY|ALL_PROXY|PIP_\w+|REQUESTS_CA_BUNDLE|PYENV_\w+|HOMEBREW_\w+|DEBIAN_FRONTEND)$/;
