import { baseEnv } from '../../lib/env.ts';
import { PlainError } from '../../lib/plain-error.ts';
import { hasCommand, lastLines, run } from '../../lib/run.ts';
import type { Progress } from '../report.ts';

/** Something that the system's package manager has and npm does not. */
export interface SystemPackage {
  readonly command: string;
  readonly purpose: string;
  readonly apt: readonly string[];
  readonly brew: string;
}

const INSTALL_TIMEOUT_MS = 10 * 60_000;

/**
 * Installs a package where that is allowed: apt as root, Homebrew as anyone.
 *
 * @throws PlainError with the one command that would do it, where it is not allowed.
 */
export async function installPackage(wanted: SystemPackage, progress: Progress): Promise<void> {
  const env = baseEnv({ DEBIAN_FRONTEND: 'noninteractive' });
  const apt = await hasCommand('apt-get', env);
  if (apt && process.getuid?.() === 0) {
    progress(`installing ${wanted.apt.join(' ')} (apt)`);
    await install('apt-get', ['update', '-qq'], env);
    await install(
      'apt-get',
      ['install', '-y', '-qq', '--no-install-recommends', ...wanted.apt],
      env,
    );
    return;
  }
  if (await hasCommand('brew', env)) {
    progress(`installing ${wanted.brew} (Homebrew)`);
    await install('brew', ['install', '--quiet', wanted.brew], env);
    return;
  }
  const command = apt
    ? `sudo apt-get install -y ${wanted.apt.join(' ')}`
    : `install ${wanted.command} with your system's package manager`;
  throw new PlainError(`${wanted.command} is missing (${wanted.purpose}); it takes:  ${command}`);
}

async function install(
  command: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<void> {
  const result = await run(command, args, { env, timeoutMs: INSTALL_TIMEOUT_MS });
  if (result.code !== 0) {
    throw new PlainError(`${command} ${args.join(' ')} failed: ${lastLines(result.output, 5)}`);
  }
}
