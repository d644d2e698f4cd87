import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { findOnPath, isExecutableFile } from './find-on-path.ts';
import { MissingToolError } from './missing-tool-error.ts';
import {
  installCommandFor,
  installSystemPackage,
  isRoot,
  lastLines,
  type SystemPackage,
} from './package-manager.ts';
import { silent, type Progress } from './progress.ts';
import { runCommand, type RunResult } from './run-command.ts';

export interface PrometheusBinaries {
  readonly prometheus: string;
  readonly promtool: string;
}

const PROMETHEUS: SystemPackage = {
  tool: 'prometheus',
  apt: 'prometheus',
  brew: 'prometheus',
};

/** Survives `make reset` as little as the model does; nothing of it is data. */
const CACHE_DIR = resolve(import.meta.dirname, '../../../../.arrakis/tools/prometheus');

/**
 * A Prometheus server and `promtool`. Those on PATH are used as they are; else Homebrew installs
 * them, or Debian's package is fetched and unpacked beside the checkout: installing it would make
 * it a service of the machine, and all that is wanted is two programs.
 * @throws MissingToolError with the command that would install it.
 */
export async function locatePrometheus(
  options: { onProgress?: Progress | undefined } = {},
): Promise<PrometheusBinaries> {
  const found = (await onPath()) ?? (await inDirectory(join(CACHE_DIR, 'usr/bin')));
  if (found !== undefined) return found;
  const onProgress = options.onProgress ?? silent;
  if (process.platform === 'darwin') {
    await installSystemPackage(PROMETHEUS, onProgress);
    const installed = await onPath();
    if (installed !== undefined) return installed;
    throw await missing('its package was installed, yet it is not on PATH');
  }
  return unpackDebianPackage(onProgress);
}

async function onPath(): Promise<PrometheusBinaries | undefined> {
  const [prometheus, promtool] = await Promise.all([
    findOnPath('prometheus'),
    findOnPath('promtool'),
  ]);
  return prometheus === undefined || promtool === undefined ? undefined : { prometheus, promtool };
}

async function inDirectory(directory: string): Promise<PrometheusBinaries | undefined> {
  const binaries = {
    prometheus: join(directory, 'prometheus'),
    promtool: join(directory, 'promtool'),
  };
  const isThere = await Promise.all(Object.values(binaries).map(isExecutableFile));
  return isThere.every(Boolean) ? binaries : undefined;
}

async function unpackDebianPackage(onProgress: Progress): Promise<PrometheusBinaries> {
  if (!(await findOnPath('apt-get')) || !(await findOnPath('dpkg-deb'))) {
    throw await missing('only apt-get and Homebrew are known here');
  }
  await mkdir(dirname(CACHE_DIR), { recursive: true });
  const staging = await mkdtemp(join(dirname(CACHE_DIR), 'prometheus-'));
  try {
    await download(staging, onProgress);
    const archive = (await readdir(staging)).find((name) => name.endsWith('.deb'));
    if (archive === undefined) throw await missing('apt-get downloaded nothing');
    const unpacked = join(staging, 'unpacked');
    const result = await runCommand('dpkg-deb', ['-x', join(staging, archive), unpacked]);
    if (result.exitCode !== 0) throw await missing(`dpkg-deb failed: ${lastLines(result)}`);
    // Another run may have been faster; what it put there is the same.
    await rename(unpacked, CACHE_DIR).catch(() => undefined);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  const binaries = await inDirectory(join(CACHE_DIR, 'usr/bin'));
  if (binaries === undefined) throw await missing('the package holds no such program');
  return binaries;
}

async function download(cwd: string, onProgress: Progress): Promise<void> {
  onProgress('Fetching Prometheus (apt-get download)');
  const fetchIt = (): Promise<RunResult> =>
    runCommand('apt-get', ['-qq', 'download', PROMETHEUS.apt], { cwd, onProgress });
  let result = await fetchIt();
  if (result.exitCode !== 0 && isRoot()) {
    // The package lists are old, or were never there.
    const common = ['-qq', '-o', 'DPkg::Lock::Timeout=180'];
    await runCommand('apt-get', [...common, 'update'], { onProgress });
    result = await fetchIt();
  }
  if (result.exitCode !== 0) throw await missing(`apt-get failed: ${lastLines(result)}`);
}

async function missing(reason: string): Promise<MissingToolError> {
  const command = await installCommandFor(PROMETHEUS);
  return new MissingToolError({ tool: PROMETHEUS.tool, reason, command });
}
