import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { describe, expect, it } from 'vitest';
import type { KubeObject } from './support/render.ts';
import { findTool, ROOT, runTool } from './support/tools.ts';

const helm = findTool('helm');
const kustomize = findTool('kustomize');

describe.skipIf(helm === undefined)('kustomize/base', () => {
  it('is what the chart renders to', () => {
    const script = join(ROOT, 'scripts/cluster/render-base.ts');
    const { code, errors } = runTool(process.execPath, [script, 'check']);
    expect({ code, errors }).toEqual({ code: 0, errors: expect.any(String) as string });
  });
});

describe.skipIf(kustomize === undefined).each(['staging', 'production'])(
  'the overlay %s',
  (overlay) => {
    const { code, output, errors } = runTool(kustomize ?? '', [
      'build',
      join(ROOT, 'kustomize/overlays', overlay),
    ]);

    it('can be built', () => {
      expect({ code, errors }).toEqual({ code: 0, errors: '' });
    });

    it('has one namespace and nothing of Helm', () => {
      const objects = parseAllDocuments(output).map((document) => document.toJS() as KubeObject);
      const namespaces = objects
        .filter(({ kind }) => kind !== 'CustomResourceDefinition')
        .map(({ metadata }) => (metadata as { namespace?: string }).namespace);
      expect(new Set(namespaces).size).toBe(1);
      expect(output).not.toContain('helm.sh/');
      expect(output).not.toContain('managed-by: Helm');
    });
  },
);
