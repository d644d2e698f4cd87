import { existsSync } from 'node:fs';
import { findOnPath } from './find-on-path.ts';
import { MissingToolError } from './missing-tool-error.ts';
import type { Progress } from './progress.ts';
import { runCommand, type RunResult } from './run-command.ts';

/** Names of one tool's package in the package managers that we know. */
export interface SystemPackage {
  readonly tool: string;
  readonly apt: string;
  /** Absent where Homebrew is not the way to get it. */
  readonly brew?: string;
  readonly dnf?: string;
  readonly apk?: string;
  readonly pacman?: string;
}

/** The one command by which a person installs the package on this machine. */
export async function installCommandFor(pkg: SystemPackage): Promise<string> {
  const sudo = isRoot() ? '' : 'sudo ';
  if (await findOnPath('apt-get')) {
    return `${sudo}sh -c 'apt-get update && apt-get install -y --no-install-recommends ${pkg.apt}'`;
  }
  const others: [string, string | undefined, string][] = [
    ['brew', pkg.brew, 'brew install'],
    ['dnf', pkg.dnf, `${sudo}dnf install -y`],
    ['apk', pkg.apk, `${sudo}apk add`],
    ['pacman', pkg.pacman, `${sudo}pacman -S --noconfirm`],
  ];
  for (const [program, name, command] of others) {
    if (name !== undefined && (await findOnPath(program))) return `${command} ${name}`;
  }
  return `# install ${pkg.tool} with your package manager so that it is on PATH`;
}

/**
 * Installs a package where that needs no question: Homebrew as a user, apt-get as root.
 * @throws MissingToolError where it may not, or where the package manager failed.
 */
export async function installSystemPackage(
  pkg: SystemPackage,
  onProgress: Progress,
): Promise<void> {
  const command = await installCommandFor(pkg);
  const refuse = (reason: string): MissingToolError =>
    new MissingToolError({ tool: pkg.tool, reason, command });

  if (process.platform === 'darwin') {
    if (pkg.brew === undefined || !(await findOnPath('brew'))) {
      throw refuse('Homebrew is not there to install it');
    }
    onProgress(`Installing ${pkg.brew} with Homebrew`);
    const result = await runCommand('brew', ['install', pkg.brew], { onProgress });
    if (result.exitCode !== 0) throw refuse(`Homebrew failed: ${lastLines(result)}`);
    return;
  }
  if (!(await findOnPath('apt-get'))) throw refuse('only apt-get is known here');
  if (!isRoot()) throw refuse('installing it needs root');
  const failure = await aptInstall(pkg.apt, onProgress);
  if (failure !== undefined) throw refuse(`apt-get failed: ${lastLines(failure)}`);
}

async function aptInstall(name: string, onProgress: Progress): Promise<RunResult | undefined> {
  // Another apt (unattended upgrades) may hold the lock for a while: wait for it.
  const common = ['-qq', '-o', 'DPkg::Lock::Timeout=180', '-o', 'Dpkg::Use-Pty=0'];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  onProgress('Refreshing the package lists (apt-get update)');
  const update = await runCommand('apt-get', [...common, 'update'], { onProgress, env });
  if (update.exitCode !== 0) return update;
  onProgress(`Installing ${name} (apt-get install)`);
  const args = [...common, 'install', '-y', '--no-install-recommends', name];
  const quietly = ['-c', WITHOUT_SERVICE_START, 'apt-get', ...args];
  const install = await runCommand('/bin/sh', quietly, { onProgress, env });
  if (existsSync(`/lib/systemd/system/${name}.service`)) {
    await runCommand('systemctl', ['--quiet', 'disable', name]);
  }
  return install.exitCode === 0 ? undefined : install;
}

/**
 * Debian starts a daemon when its package is installed, and at every boot from then on; ours run
 * under our own control. The policy file forbids the start. The shell takes it away again also
 * when someone presses Ctrl-C meanwhile, which would skip a `finally` of ours.
 */
const WITHOUT_SERVICE_START = `
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' HUP INT TERM
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
"$0" "$@"
`;

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

export function lastLines(result: RunResult, count = 4): string {
  const text = result.stderr.trim() === '' ? result.stdout : result.stderr;
  return text.trim().split('\n').slice(-count).join('\n');
}
