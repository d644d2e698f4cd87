import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { findOnPath } from './find-on-path.ts';
import { MissingToolError } from './missing-tool-error.ts';
import {
  installCommandFor,
  installSystemPackage,
  lastLines,
  type SystemPackage,
} from './package-manager.ts';
import { silent, type Progress } from './progress.ts';
import { runCommand } from './run-command.ts';

const REQUIREMENTS = resolve(import.meta.dirname, 'schemathesis.requirements.txt');
const DEFAULT_DIR = resolve(import.meta.dirname, '../../../../.arrakis/python');

const PYTHON: SystemPackage = {
  tool: 'python3 (3.11 or newer, with pip)',
  // Debian's pip brings its Python along.
  apt: 'python3-pip',
  brew: 'python@3.13',
  dnf: 'python3-pip',
  apk: 'py3-pip',
  pacman: 'python-pip',
};
const CANDIDATES = ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11'];

/** How to run it: `command` with `args` before the arguments of one's own. */
export interface Schemathesis {
  readonly command: string;
  readonly args: readonly string[];
}

export interface LocateSchemathesisOptions {
  readonly onProgress?: Progress | undefined;
  /** Where the packages are kept; by default `.arrakis/python` of the repository. */
  readonly packagesDir?: string | undefined;
}

/**
 * Schemathesis in the pinned version, installed from PyPI by hash into a directory of its own, so
 * that nothing of the machine's Python is touched or relied on but its standard library.
 * @throws MissingToolError with the command that would help, also when PyPI can't be reached.
 */
export async function locateSchemathesis(
  options: LocateSchemathesisOptions = {},
): Promise<Schemathesis> {
  const onProgress = options.onProgress ?? silent;
  const python = await usablePython(onProgress);
  const pins = createHash('sha256').update(await readFile(REQUIREMENTS));
  const parent = options.packagesDir ?? DEFAULT_DIR;
  const packages = join(parent, `schemathesis-${python.tag}-${pins.digest('hex').slice(0, 12)}`);
  if (!(await isDirectory(packages))) await install(python.command, packages, onProgress);
  const start = `import sys; sys.path.insert(0, ${JSON.stringify(packages)}); import schemathesis.cli; schemathesis.cli.schemathesis(prog_name="st")`;
  return { command: python.command, args: ['-I', '-c', start] };
}

interface Python {
  readonly command: string;
  /** Wheels fit one version and platform: `cpython-311-linux-x86_64`. */
  readonly tag: string;
}

async function usablePython(onProgress: Progress): Promise<Python> {
  const found = await findPython();
  if (found !== undefined) return found;
  await installSystemPackage(PYTHON, onProgress);
  const installed = await findPython();
  if (installed !== undefined) return installed;
  throw new MissingToolError({
    tool: PYTHON.tool,
    reason: 'its package was installed, yet no Python of 3.11 or newer has pip',
    command: await installCommandFor(PYTHON),
  });
}

const DESCRIBE =
  'import sys, sysconfig, pip; assert sys.version_info >= (3, 11); print(sys.implementation.cache_tag + "-" + sysconfig.get_platform())';

async function findPython(): Promise<Python | undefined> {
  for (const name of CANDIDATES) {
    const command = await findOnPath(name);
    if (command === undefined) continue;
    const described = await runCommand(command, ['-I', '-c', DESCRIBE]);
    if (described.exitCode === 0) return { command, tag: described.stdout.trim() };
  }
  return undefined;
}

async function install(python: string, target: string, onProgress: Progress): Promise<void> {
  const parent = resolve(target, '..');
  await mkdir(parent, { recursive: true });
  const staging = await mkdtemp(join(parent, 'installing-'));
  onProgress('Fetching schemathesis from PyPI');
  try {
    const options = ['--no-deps', '--require-hashes', '--only-binary=:all:', '--no-compile'];
    const quiet = ['--disable-pip-version-check', '--progress-bar', 'off', '--quiet'];
    const result = await runCommand(
      python,
      ['-m', 'pip', 'install', ...options, ...quiet, '--target', staging, '-r', REQUIREMENTS],
      { onProgress, env: { PIP_ROOT_USER_ACTION: 'ignore', PIP_REQUIRE_VIRTUALENV: '0' } },
    );
    if (result.exitCode !== 0) throw notFetched(lastLines(result));
    // Whoever comes second has the same files: his copy goes.
    await rename(staging, target).catch(async (error: unknown) => {
      if (!(await isDirectory(target))) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

function notFetched(output: string): MissingToolError {
  return new MissingToolError({
    tool: 'schemathesis',
    reason: `fetching it from PyPI failed: ${output}`,
    command: 'python3 -m pip download --no-deps schemathesis   # shows what is in the way',
  });
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}
