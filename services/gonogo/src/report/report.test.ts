import { describe, expect, it } from 'vitest';
import { fail, pass, type Finding, type Gate, type GateName } from '../gate.domain.ts';
import type { Ran } from '../runner.ts';
import { buildReport } from './build.ts';
import { canonicalJson, differences } from './canonical-json.domain.ts';
import { openReportKey } from './report-key.ts';
import type { SignedReport } from './report.schema.ts';
import { signReport } from './sign.ts';
import { renderTable } from './table.ts';
import { verifyReport } from './verify.ts';

const AT = new Date('2026-11-22T10:00:00.000Z');
const KEY = openReportKey(undefined, AT);
const SECRET = 'lf_live_abcdefghijkl_secret';

function ran(name: GateName, finding: Finding): Ran {
  const run = (): Promise<Finding> => Promise.resolve(finding);
  const gate: Gate = { name, asks: 'what', deadlineMs: 1, whenLate: 'fail', run };
  return { gate, finding, startedAt: AT, durationMs: 12 };
}

function signed(findings: readonly Ran[], key = KEY): SignedReport {
  const report = buildReport(findings, {
    target: 'http://api',
    startedAt: AT,
    endedAt: AT,
    key,
    secrets: [SECRET],
  });
  return signReport(report, key);
}

const WHOLE = [
  ran('health', pass('all well', { replicas: 3, names: ['a', 'b'] })),
  ran('billing', fail('off by 1; and more', { charged: '12', seen: `key ${SECRET}` })),
];
const text = (): string => JSON.stringify(signed(WHOLE));

describe('a signed report', () => {
  it('is whole, and says whose key signed it', () => {
    expect(verifyReport(text())).toEqual([]);
    expect(verifyReport(text(), KEY.publicJwk.kid)).toEqual([]);
    expect(verifyReport(text(), 'another')).toEqual([
      `signed by ${KEY.publicJwk.kid}, not by another`,
    ]);
  });

  it('holds no secret, wherever a gate may have left one', () => {
    expect(text()).not.toContain(SECRET);
    expect(text()).toContain('key [secret]');
  });

  it.each<[string, (text: string) => string, string]>([
    [
      'evidence',
      (t) => t.replace('"12"', '"13"'),
      'gate billing: the evidence does not fit its hash',
    ],
    [
      'what was seen',
      (t) => t.replace('all well', 'all Well'),
      'gates[0].seen is not what was signed',
    ],
    [
      'an outcome',
      (t) => t.replace('"fail"', '"pass"'),
      'the verdict says no-go, the gates say go',
    ],
    [
      'the verdict',
      (t) => t.replace('"no-go"', '"go"'),
      'the verdict says go, the gates say no-go',
    ],
    ['the scope', (t) => t.replace('"partial"', '"all"'), 'the scope does not fit the gates'],
    [
      'a time',
      (t) => t.replace('"durationMs":12', '"durationMs":13'),
      'gates[0].durationMs is not',
    ],
    ['who signed', (t) => t.replace('"ephemeral"', '"key"'), 'signedBy is not what was signed'],
    ['a stranger', (t) => t.replace('"version":1', '"version":1,"x":1'), '/report'],
    ['the end', (t) => t.slice(0, -1), 'it is not JSON'],
  ])('names what was changed: %s', (_what, change, fault) => {
    const changed = change(text());
    expect(changed).not.toBe(text());
    expect(verifyReport(changed).join('\n')).toContain(fault);
  });

  it('notices any changed byte of the signature', () => {
    const whole = signed(WHOLE);
    // Header, payload and signature; one place in each, and the last character of all.
    const places = [3, 200, whole.signature.length - 40, whole.signature.length - 1];
    for (const at of places) {
      const other = whole.signature[at] === 'A' ? 'B' : 'A';
      const signature = whole.signature.slice(0, at) + other + whole.signature.slice(at + 1);
      expect(verifyReport(JSON.stringify({ ...whole, signature })), String(at)).not.toEqual([]);
    }
  });

  it('takes no other spelling of the signature', () => {
    const whole = signed(WHOLE);
    const padded = { ...whole, signature: `${whole.signature}=` };
    expect(verifyReport(JSON.stringify(padded))).not.toEqual([]);
  });

  it('signed anew by somebody else is whole, but not by the signer', () => {
    const forged = JSON.stringify(
      signed([ran('health', pass('fine', {}))], openReportKey(undefined, AT)),
    );
    expect(verifyReport(forged)).toEqual([]);
    expect(verifyReport(forged, KEY.publicJwk.kid)).toHaveLength(1);
  });

  it('does not take the key of another report', () => {
    const other = openReportKey(undefined, AT).publicJwk;
    const whole = signed(WHOLE);
    const swapped = { ...whole, report: { ...whole.report, key: other } };
    expect(verifyReport(JSON.stringify(swapped))).not.toEqual([]);
  });
});

describe('the table', () => {
  it('shows each gate, every reason in full, and the verdict', () => {
    const table = renderTable(signed(WHOLE).report);
    expect(table).toMatch(/^health {3}pass {5}all well/m);
    expect(table).toMatch(/^billing {2}FAIL/m);
    expect(table).toContain('billing (fail): off by 1\nbilling (fail): and more');
    expect(table).toContain('NO-GO (partial: 2 of 11 gates)');
  });
});

describe('canonical JSON', () => {
  it('is the same whatever the order of members', () => {
    expect(canonicalJson({ b: [1, { d: null, c: 'é' }], a: true })).toBe(
      canonicalJson({ a: true, b: [1, { c: 'é', d: null }] }),
    );
    expect(canonicalJson({ b: 1, a: '"' })).toBe('{"a":"\\"","b":1}');
  });

  it('refuses what JSON has no word for', () => {
    expect(() => canonicalJson(Number.NaN)).toThrow(TypeError);
    expect(() => canonicalJson(undefined as never)).toThrow(TypeError);
  });

  it('tells where two values differ', () => {
    expect(differences({ a: [1, { b: 2 }], c: 3 }, { a: [1, { b: 4 }], d: 3 })).toEqual([
      'a[1].b',
      'c',
      'd',
    ]);
    expect(differences([], {})).toEqual(['the whole']);
  });
});
