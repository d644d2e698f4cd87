import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROMETHEUS_DIR } from './ops-files.ts';

/** The ports of the example, by job. */
const EXAMPLE = {
  api: '127.0.0.1:9300',
  worker: '127.0.0.1:9301',
  finn: '127.0.0.1:9302',
} as const;

/**
 * The example configuration itself, with this run's addresses and the rules from where they are.
 *
 * @param adminUrls of one process of each kind
 * @returns the path of the file
 */
export async function writeScrapeConfig(
  dir: string,
  adminUrls: Readonly<Record<keyof typeof EXAMPLE, string>>,
): Promise<string> {
  let text = await readFile(join(PROMETHEUS_DIR, 'prometheus.yaml'), 'utf8');
  for (const kind of ['api', 'worker', 'finn'] as const) {
    text = text.replace(EXAMPLE[kind], new URL(adminUrls[kind]).host);
  }
  text = text.replace('[rules.yaml]', JSON.stringify([join(PROMETHEUS_DIR, 'rules.yaml')]));
  const file = join(dir, 'prometheus.yaml');
  await writeFile(file, text);
  return file;
}
