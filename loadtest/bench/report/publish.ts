import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { toSvg } from './chart.ts';
import type { BenchDocument } from './document.ts';
import { headline } from './headline.ts';
import { tablesOf, toMarkdown } from './tables.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** A full run is part of the documentation; any other is for whoever made it. */
export async function publish(document: BenchDocument): Promise<string[]> {
  const isOfficial = document.kind === 'full';
  const results = join(ROOT, isOfficial ? 'docs/generated' : '.arrakis/bench');
  const images = join(ROOT, isOfficial ? 'docs/images' : '.arrakis/bench');
  await mkdir(results, { recursive: true });
  await mkdir(images, { recursive: true });
  const chart = join(images, 'bench.svg');
  const files: [string, string][] = [
    [join(results, 'bench.json'), `${JSON.stringify(document, undefined, 1)}\n`],
    [join(results, 'bench.md'), toPage(document, relative(results, chart))],
    [chart, toSvg(document)],
  ];
  for (const [file, content] of files) await writeFile(file, content);
  return files.map(([file]) => relative(ROOT, file));
}

function toPage(document: BenchDocument, chart: string): string {
  return [
    '# Benchmark results',
    'Written by `make bench`; what the lanes are and what follows from them: [performance](../performance.md).',
    headline(document)
      .map((line) => `- ${line}`)
      .join('\n'),
    `![Added latency, time to first token, gaps, CPU and ceilings](${chart})`,
    ...tablesOf(document.rows).map(toMarkdown),
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}
