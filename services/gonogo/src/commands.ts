import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { createPool, withTransaction } from '@arrakis/postgres';
import { secretTexts, type GonogoConfig } from './config/config.ts';
import type { Gate, GateName } from './gate.domain.ts';
import { createGates } from './gates/catalogue.ts';
import { checkBooks } from './probes/books.store.ts';
import { buildReport } from './report/build.ts';
import { openReportKey } from './report/report-key.ts';
import type { SignedReport } from './report/report.schema.ts';
import { signReport } from './report/sign.ts';
import { renderTable } from './report/table.ts';
import { verifyReport } from './report/verify.ts';
import { runGates, type Clock } from './runner.ts';
import { EXIT_CODES } from './verdict.domain.ts';

/** Where a command's lines go. */
export type Print = (line: string) => void;

const CLOCK: Clock = { now: () => new Date(), monotonicMs: () => performance.now() };
const STATEMENT_TIMEOUT_MS = 30_000;

/** Runs the gates, prints the table, writes the signed report. @returns the exit code */
export async function run(
  config: GonogoConfig,
  names: readonly GateName[],
  print: Print,
): Promise<number> {
  const key = openReportKey(config.signingKey?.reveal(), CLOCK.now());
  const books = openBooks(config);
  const startedAt = CLOCK.now();
  try {
    const gates = createGates(config, books?.check).filter(({ name }) => names.includes(name));
    const ran = await runGates(gates, CLOCK);
    const report = buildReport(ran, {
      target: config.freesideUrl,
      startedAt,
      endedAt: CLOCK.now(),
      key,
      secrets: secretTexts(config),
    });
    print(renderTable(report));
    await deliver(signReport(report, key), config.reportFile, print);
    return EXIT_CODES[report.verdict];
  } finally {
    await books?.close();
  }
}

export function list(gates: readonly Gate[], print: Print): void {
  for (const { name, asks } of gates) print(`${name.padEnd(12)}${asks}?`);
}

/** Checks a report and says what does not fit. @returns 0 when all fits, else 1 */
export async function verify(
  file: string,
  signer: string | undefined,
  print: Print,
): Promise<number> {
  const content = file === '-' ? await text(process.stdin) : await readFile(file, 'utf8');
  const faults = verifyReport(content, signer);
  for (const fault of faults) print(`does not fit: ${fault}`);
  if (faults.length > 0) return 1;
  const { report } = JSON.parse(content) as SignedReport;
  print(
    `The report is whole: ${report.verdict} (${report.scope}), ${report.endedAt}, signed by ${report.signedBy} ${report.key.kid}.`,
  );
  if (signer === undefined) print('Whose key that is was not asked: --signer THUMBPRINT does.');
  return 0;
}

async function deliver(signed: SignedReport, file: string, print: Print): Promise<void> {
  if (file === '-') {
    print(JSON.stringify(signed));
    return;
  }
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(signed, null, 2)}\n`);
  print(`Report: ${file}`);
}

function openBooks({ databaseUrl }: GonogoConfig) {
  if (databaseUrl === undefined) return undefined;
  const pool = createPool({
    url: databaseUrl.reveal(),
    max: 1,
    applicationName: 'gonogo',
    // The query that was under way rejects by itself.
    onError: () => undefined,
  });
  const check = () =>
    withTransaction(pool, async (tx) => {
      // For this transaction: PgBouncer takes no such setting when a connection begins.
      await tx.query(`SELECT set_config('statement_timeout', $1, true)`, [
        String(STATEMENT_TIMEOUT_MS),
      ]);
      return checkBooks(tx);
    });
  return { check, close: () => pool.end() };
}
