import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { optionalEnv } from '../../../scripts/lib/env.ts';

/** Command-line tools that the tests of the chart need, on PATH or where the lab keeps its own. */

export const ROOT = resolve(import.meta.dirname, '../../..');
export const CHART = join(ROOT, 'charts/platform');

const MODULES = {
  helm: 'helm.sh/helm/v3/cmd/helm@v3.22.0',
  kustomize: 'sigs.k8s.io/kustomize/kustomize/v5@v5.7.1',
} as const;
export type Tool = keyof typeof MODULES;

/** The tool's path; `undefined`, having said how to get it, when it is nowhere. */
export function findTool(tool: Tool): string | undefined {
  const lab = join(optionalEnv('LAB_DIR') ?? join(homedir(), '.cache/lab'), 'bin');
  const folders = [...(optionalEnv('PATH') ?? '').split(delimiter), lab];
  const found = folders.map((folder) => join(folder, tool)).find((path) => existsSync(path));
  if (found === undefined) {
    process.stderr.write(
      `\nSKIPPED: ${tool} is not installed, so nothing of this was tested. Install it with:\n` +
        `  GOBIN=${lab} go install ${MODULES[tool]}\n\n`,
    );
  }
  return found;
}

export interface ToolResult {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

export function runTool(path: string, args: readonly string[]): ToolResult {
  const done = spawnSync(path, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (done.error !== undefined) throw done.error;
  return { code: done.status ?? 1, output: done.stdout, errors: done.stderr };
}
