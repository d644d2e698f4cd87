import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './ops-files.ts';

export const RUNBOOKS_DIR = join(ROOT, 'docs/runbooks');

export interface RunbookQuery {
  readonly where: string;
  readonly text: string;
}

/** The fenced blocks of one language in all runbooks. */
export async function queriesOf(language: 'promql' | 'sql'): Promise<readonly RunbookQuery[]> {
  const files = (await readdir(RUNBOOKS_DIR)).filter((name) => name.endsWith('.md'));
  const found = files.map(async (file) => {
    const text = await readFile(join(RUNBOOKS_DIR, file), 'utf8');
    const blocks = text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'));
    return [...blocks].map(([, block = '']) => ({ where: file, text: block.trim() }));
  });
  return (await Promise.all(found)).flat();
}
