import { describe, expect, it } from 'vitest';
import { auditVerdict } from './audit-verdict.ts';

/** As npm 11 prints it, shortened. */
const METADATA = { vulnerabilities: { total: 0 }, dependencies: { prod: 423, total: 689 } };
const CLEAN = JSON.stringify({ auditReportVersion: 2, vulnerabilities: {}, metadata: METADATA });
const ADVISORY = {
  source: 1,
  name: 'fast-uri',
  dependency: 'fast-uri',
  title: 'Reads too far',
  url: 'https://github.com/advisories/GHSA-aaaa-bbbb-cccc',
  severity: 'high',
  cwe: ['CWE-1'],
  cvss: { score: 7.5, vectorString: null },
  range: '<99',
};
const VULNERABLE = JSON.stringify({
  auditReportVersion: 2,
  vulnerabilities: {
    ajv: { name: 'ajv', severity: 'high', isDirect: false, via: ['fast-uri'], effects: [] },
    'fast-uri': { name: 'fast-uri', severity: 'high', via: [ADVISORY], effects: ['ajv'] },
  },
  metadata: METADATA,
});
/** As recorded from a registry that offers no audits. */
const REFUSED = JSON.stringify({
  message: '405 Method Not Allowed - POST https://user:password@registry.example/bulk',
  method: 'POST',
  statusCode: 405,
  body: '',
  error: { summary: '', detail: '' },
});

const TODAY = '2026-11-22';
const exception = (until: string) => [{ id: 'GHSA-aaaa-bbbb-cccc', why: 'not reached', until }];

describe('the verdict on an audit', () => {
  it('is clean when nothing is known against any package', () => {
    expect(auditVerdict(CLEAN, [], TODAY)).toEqual({
      ...{ kind: 'clean', dependencies: 689, excepted: [], stale: [] },
    });
  });

  it('is vulnerable for each advisory once, at its source', () => {
    expect(auditVerdict(VULNERABLE, [], TODAY)).toEqual({
      kind: 'vulnerable',
      advisories: [
        {
          id: 'GHSA-aaaa-bbbb-cccc',
          package: 'fast-uri',
          severity: 'high',
          title: 'Reads too far',
          why: 'no exception',
        },
      ],
    });
  });

  it('is clean while an exception explains the advisory, its last day included', () => {
    const verdict = auditVerdict(VULNERABLE, exception(TODAY), TODAY);
    expect(verdict).toMatchObject({ kind: 'clean', excepted: [{ package: 'fast-uri' }] });
  });

  it('is vulnerable again when the exception has ended', () => {
    const verdict = auditVerdict(VULNERABLE, exception('2026-11-21'), TODAY);
    expect(verdict).toMatchObject({
      kind: 'vulnerable',
      advisories: [{ why: 'its exception ended on 2026-11-21' }],
    });
  });

  it('says which exception explains nothing any more', () => {
    expect(auditVerdict(CLEAN, exception('2030-01-01'), TODAY)).toMatchObject({
      ...{ kind: 'clean', stale: ['GHSA-aaaa-bbbb-cccc'] },
    });
  });

  it('is neither when the registry offers no audit, and does not repeat its address', () => {
    const verdict = auditVerdict(REFUSED, [], TODAY);
    expect(verdict).toEqual({ kind: 'unavailable', reason: 'the registry answered 405' });
  });

  it.each([
    ['nothing', ''],
    ['no JSON', 'npm error'],
    ['another version', JSON.stringify({ auditReportVersion: 1, metadata: METADATA })],
    ['an audit of no package', CLEAN.replace('689', '0')],
    ['a message only', JSON.stringify({ message: 'request to … failed' })],
    ['null', 'null'],
  ])('is never clean for %s', (_name, output) => {
    expect(auditVerdict(output, [], TODAY).kind).toBe('unavailable');
  });

  it('does not take packages without a description of what is wrong for harmless', () => {
    const odd = VULNERABLE.replace(JSON.stringify(ADVISORY), '"ajv"');
    expect(auditVerdict(odd, [], TODAY).kind).toBe('vulnerable');
  });
});
