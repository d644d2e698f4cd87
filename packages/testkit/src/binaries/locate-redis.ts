import { findOnPath } from './find-on-path.ts';
import { MissingToolError } from './missing-tool-error.ts';
import { installCommandFor, installSystemPackage, type SystemPackage } from './package-manager.ts';
import { silent, type Progress } from './progress.ts';

const REDIS: SystemPackage = {
  tool: 'redis-server',
  apt: 'redis-server',
  brew: 'redis',
  dnf: 'redis',
  apk: 'redis',
  pacman: 'redis',
};

/**
 * Path of a `redis-server`. One on PATH is used as it is; else the system's package is installed
 * (Debian and Ubuntu as root, macOS with Homebrew).
 * @throws MissingToolError with the command that would install it.
 */
export async function locateRedis(
  options: { onProgress?: Progress | undefined } = {},
): Promise<string> {
  const found = await findOnPath('redis-server');
  if (found !== undefined) return found;
  await installSystemPackage(REDIS, options.onProgress ?? silent);
  const installed = await findOnPath('redis-server');
  if (installed !== undefined) return installed;
  throw new MissingToolError({
    tool: REDIS.tool,
    reason: 'its package was installed, yet it is not on PATH',
    command: await installCommandFor(REDIS),
  });
}
