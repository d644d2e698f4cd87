import { createPublicKey } from 'node:crypto';
import { verifyEs256 } from '@arrakis/service-kit';
import { thumbprintHex } from '@arrakis/signing-keys';
import { Value } from 'typebox/value';
import { GATE_NAMES, type Json, type JsonObject } from '../gate.domain.ts';
import { verdictOf } from '../verdict.domain.ts';
import { hashOf } from './build.ts';
import { differences } from './canonical-json.domain.ts';
import { SignedReport, type Report } from './report.schema.ts';
import { REPORT_TYPE } from './sign.ts';

/**
 * Checks a report as it was written.
 *
 * @param signer thumbprint (RFC 7638, hex) of the key that must have signed it; without it any key
 *   does, and only the report's integrity is shown.
 * @returns everything that does not fit, in words; empty when all does.
 */
export function verifyReport(text: string, signer?: string): readonly string[] {
  const parsed = parse(text);
  if (parsed === undefined) return ['it is not JSON'];
  if (!Value.Check(SignedReport, parsed)) {
    return Value.Errors(SignedReport, parsed)
      .slice(0, 10)
      .map(({ instancePath, message }) => `${instancePath === '' ? '/' : instancePath} ${message}`);
  }
  const { report, signature } = parsed;
  return [
    ...contentFaults(report),
    ...keyFaults(report, signer),
    ...signatureFaults(report, signature),
  ];
}

function contentFaults(report: Report): string[] {
  const faults = report.gates
    .filter(({ evidence, hash }) => hashOf(evidence as JsonObject) !== hash)
    .map(({ name }) => `gate ${name}: the evidence does not fit its hash`);
  const names = report.gates.map(({ name }) => name);
  if (new Set(names).size !== names.length) faults.push('a gate is there twice');
  const verdict = verdictOf(report.gates.map(({ outcome }) => outcome));
  if (verdict !== report.verdict) {
    faults.push(`the verdict says ${report.verdict}, the gates say ${verdict}`);
  }
  const isWhole = GATE_NAMES.every((name) => names.includes(name));
  if (isWhole !== (report.scope === 'all')) faults.push('the scope does not fit the gates');
  return faults;
}

function keyFaults({ key }: Report, signer: string | undefined): string[] {
  const thumbprint = thumbprintHex(key);
  return [
    ...(thumbprint === key.kid ? [] : ['the key is not the one that its id names']),
    ...(signer === undefined || signer === thumbprint
      ? []
      : [`signed by ${thumbprint}, not by ${signer}`]),
  ];
}

function signatureFaults(report: Report, signature: string): string[] {
  const [header = '', payload = '', bytes = '', ...more] = signature.split('.');
  if (more.length > 0 || !isHeader(parse(decode(header)), report.key.kid)) {
    return ['the signature is not of the kind that we make'];
  }
  const input = Buffer.from(`${header}.${payload}`, 'ascii');
  const given = Buffer.from(bytes, 'base64url');
  // Other spellings of the same bytes would be bytes that nothing covers.
  const isExact = given.toString('base64url') === bytes;
  const key = publicKeyOf(report);
  if (key === undefined || !isExact || !verifyEs256(input, key, given)) {
    return ['the signature does not fit the key and what was signed'];
  }
  const signed = parse(decode(payload)) as Json | undefined;
  return differences(report as Json, signed).map((path) => `${path} is not what was signed`);
}

function publicKeyOf({ key }: Report) {
  try {
    const { kty, crv, x, y } = key;
    return createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function isHeader(header: unknown, kid: string): boolean {
  const expected = { alg: 'ES256', kid, typ: REPORT_TYPE };
  return header !== undefined && differences(header as Json, expected).length === 0;
}

function decode(segment: string): string {
  return Buffer.from(segment, 'base64url').toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
