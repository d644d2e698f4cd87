import { signEs256 } from '@arrakis/service-kit';
import type { Json } from '../gate.domain.ts';
import { canonicalJson } from './canonical-json.domain.ts';
import type { ReportKey } from './report-key.ts';
import type { Report, SignedReport } from './report.schema.ts';

export const REPORT_TYPE = 'gonogo-report+jws';

/**
 * The payload is embedded although it stands beside the signature: so a check can tell not only
 * that something was changed, but what.
 */
export function signReport(report: Report, key: ReportKey): SignedReport {
  const header = { alg: 'ES256', kid: key.publicJwk.kid, typ: REPORT_TYPE };
  const input = `${encode(JSON.stringify(header))}.${encode(canonicalJson(report as Json))}`;
  const signature = signEs256(Buffer.from(input, 'ascii'), key.privateKey);
  return { report, signature: `${input}.${signature.toString('base64url')}` };
}

function encode(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64url');
}
