import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ReportInput } from './render.ts';

const DIR = resolve(import.meta.dirname, '../../../.arrakis/crash');

/**
 * Writes the report as text, what it was made of as JSON, and the services' warnings; returns the
 * path of the text.
 */
export async function writeReport(
  input: ReportInput,
  text: string,
  warnings: readonly string[],
): Promise<string> {
  await mkdir(DIR, { recursive: true });
  const suffix = input.sabotage === undefined ? '' : `-${input.sabotage}`;
  const name = `seed-${String(input.seed)}${input.form === 'short' ? '-short' : ''}${suffix}`;
  const path = join(DIR, `${name}.txt`);
  await writeFile(path, text);
  await writeFile(join(DIR, `${name}.json`), `${JSON.stringify(input, undefined, 1)}\n`);
  await writeFile(join(DIR, `${name}.log`), `${warnings.join('\n')}\n`);
  return path;
}
