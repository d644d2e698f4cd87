import { describe, expect, it } from 'vitest';
import type { Lockfile } from './lockfile.ts';
import { POLICY } from './policy.ts';
import { narrowed, parseSbom, sbomFaults, shippedPackages, type Sbom } from './sbom-rules.ts';

const HASH = Buffer.alloc(64, 7);
const LOCKFILE: Lockfile = {
  lockfileVersion: 3,
  packages: {
    'services/s': { name: '@arrakis/s', version: '0.1.0', dependencies: { b: '1.2.3' } },
    'node_modules/b': {
      version: '1.2.3',
      license: 'MIT',
      integrity: `sha512-${HASH.toString('base64')}`,
    },
    'node_modules/tests': { version: '1.0.0', dev: true },
  },
};
const OURS = { 'bom-ref': 's', purl: 'pkg:npm/%40arrakis/s@0.1.0', licenses: [{}] };
const B = {
  'bom-ref': 'b',
  purl: 'pkg:npm/b@1.2.3',
  licenses: [{}],
  hashes: [{ alg: 'SHA-512', content: HASH.toString('hex') }],
};
const TESTS = { 'bom-ref': 't', purl: 'pkg:npm/tests@1.0.0', licenses: [{}] };
const MADE: Sbom = {
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  components: [OURS, B, TESTS],
  dependencies: [
    { ref: 's', dependsOn: ['b', 't'] },
    { ref: 'b', dependsOn: [] },
    { ref: 't', dependsOn: [] },
  ],
};
const SHIPPED = shippedPackages(LOCKFILE, ['services/s']);
const faults = (components: Sbom['components']): string[] =>
  sbomFaults({ ...narrowed(MADE, SHIPPED), components }, SHIPPED, POLICY);

describe('an SBOM', () => {
  it('is narrowed to what ships', () => {
    const sbom = narrowed(MADE, SHIPPED);
    expect(sbom.components).toEqual([OURS, B]);
    expect(sbom.dependencies[0]).toEqual({ ref: 's', dependsOn: ['b'] });
    expect(sbomFaults(sbom, SHIPPED, POLICY)).toEqual([]);
  });

  it.each([
    ['a package is missing', [OURS, OURS], /b@1\.2\.3 is missing/],
    ['a licence is missing', [OURS, { ...B, licenses: [] }], /no licence/],
    ['a hash is missing', [OURS, { ...B, hashes: [] }], /hash of the lockfile/],
    ['a hash is another', [OURS, { ...B, hashes: [{ alg: 'SHA-512', content: 'aa' }] }], /hash/],
    ['something else is in it', [OURS, B, TESTS], /not shipped/],
    ['a purl is missing', [OURS, { ...B, purl: '' }], /is missing/],
  ])('is refused when %s', (_case, components, reason) => {
    expect(faults(components).join('\n')).toMatch(reason);
  });

  it.each([
    '{}',
    'null',
    '[]',
    '{"bomFormat":"CycloneDX","specVersion":"1.5"}',
    '{"bomFormat":"SPDX"}',
  ])('is not %s', (text) => {
    expect(() => parseSbom(text)).toThrow(/CycloneDX|lists no/);
  });
});
