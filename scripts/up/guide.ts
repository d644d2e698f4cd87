import { relative } from 'node:path';
import { DEMO_AGENTS } from '../lib/demo.ts';
import type { Report } from './report.ts';
import { url, type Stack } from './stack.ts';
import type { Demo } from './steps/database.ts';
import { FIRST_REQUEST } from './steps/first-answer.ts';
import type { PaymentVendor } from './steps/payment-vendor.ts';
import type { Pools } from './steps/pools.ts';

/** What to do next: addresses, key, a command to copy, how to stop. */
export function printGuide(
  report: Report,
  { ports, folders }: Stack,
  { demo, pools, vendor }: { demo: Demo; pools: Pools; vendor: PaymentVendor },
): void {
  const api = url(ports.freeside);
  const lines: readonly (readonly [string, string])[] = [
    ['API', `${api}   (OpenAI-compatible base URL: ${api}/v1)`],
    ['Reference', `${api}/docs   ${api}/openapi.json`],
    ['API key', demo.key],
    ['Agents', DEMO_AGENTS.map(({ slug, tier }) => `${slug} (${tier})`).join(', ')],
    ['Answers from', pools.label],
    ['Credits from', vendor.label],
    [
      'Metrics',
      [ports.freesideAdmin, ports.freesideWorkerAdmin, ports.finnAdmin]
        .map((port) => `${url(port)}/metrics`)
        .join('   '),
    ],
  ];
  report.print();
  report.print(report.strong('It runs.'));
  report.print();
  for (const [name, value] of lines) report.print(`  ${name.padEnd(13)} ${value}`);
  report.print();
  report.print('  Try it:');
  report.print();
  report.print(curl(api, relative(folders.root, demo.keyFile)));
  report.print();
  if (vendor.isFake) {
    report.print('  Buy credits, step by step:  make demo-purchase');
    report.print();
  }
  report.print('  make status   make logs   make down   make reset');
}

/** Works word for word in the repository's folder; the key stays out of the shell's history. */
function curl(api: string, keyFile: string): string {
  return [
    `  curl -N ${api}/v1/chat/completions \\`,
    `    -H "Authorization: Bearer $(cat ${keyFile})" \\`,
    `    -H 'Content-Type: application/json' \\`,
    `    -d '${JSON.stringify(FIRST_REQUEST)}'`,
  ].join('\n');
}
