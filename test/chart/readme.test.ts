import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CHART } from './support/tools.ts';

const readme = readFileSync(join(CHART, 'README.md'), 'utf8');
const lines = readFileSync(join(CHART, 'values.yaml'), 'utf8').split('\n');

/** Every described value, with its description, as the comments of values.yaml have them. */
function described(): (readonly [path: string, description: string])[] {
  const found: (readonly [string, string])[] = [];
  const path: string[] = [];
  let pending: string | undefined;
  for (const line of lines) {
    const comment = /^ *# -- (.*)$/.exec(line)?.[1];
    const key = /^( *)(\w+):/.exec(line);
    if (comment !== undefined) pending = comment;
    if (key === null) continue;
    path.splice((key[1] ?? '').length / 2, Infinity, key[2] ?? '');
    if (pending !== undefined) found.push([path.join('.'), pending]);
    pending = undefined;
  }
  return found;
}

describe('the README of the chart', () => {
  it('describes every value as values.yaml does (helm-docs renders it)', () => {
    expect(described().length).toBeGreaterThan(200);
    for (const [path, description] of described()) {
      const row = readme.split('\n').find((line) => line.startsWith(`| ${path} |`));
      expect.soft(row, path).toContain(description);
    }
  });
});
