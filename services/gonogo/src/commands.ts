import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { createPool, withTransaction, type Queryable } from '@arrakis/postgres';
import { secretTexts, type GonogoConfig } from './config/config.ts';
import type { Gate, GateName } from './gate.domain.ts';
import { createGates, type Tables } from './gates/catalogue.ts';
import { readBatch, unsealedSeconds } from './probes/audit-trail.store.ts';
import { checkBooks } from './probes/books.store.ts';
import { checkPayments } from './probes/payments.store.ts';
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
  const database = openDatabase(config);
  const startedAt = CLOCK.now();
  try {
    const gates = createGates(config, database?.tables).filter(({ name }) => names.includes(name));
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
    await database?.close();
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

interface Database {
  readonly tables: Tables;
  readonly close: () => Promise<void>;
}

function openDatabase({ databaseUrl }: GonogoConfig): Database | undefined {
  if (databaseUrl === undefined) return undefined;
  const pool = createPool({
    url: databaseUrl.reveal(),
    // The gates that read run beside each other.
    max: 3,
    applicationName: 'gonogo',
    // The query that was under way rejects by itself.
    onError: () => undefined,
  });
  const read = <Result>(work: (tx: Queryable) => Promise<Result>): Promise<Result> =>
    withTransaction(pool, async (tx) => {
      // For this transaction: PgBouncer takes no such setting when a connection begins.
      await tx.query(`SELECT set_config('statement_timeout', $1, true)`, [
        String(STATEMENT_TIMEOUT_MS),
      ]);
      return work(tx);
    });
  const tables: Tables = {
    checkBooks: () => read(checkBooks),
    checkPayments: () => read(checkPayments),
    trail: {
      batchAfter: (sequence) => read((tx) => readBatch(tx, sequence)),
      unsealedSeconds: () => read(unsealedSeconds),
    },
  };
  return { tables, close: () => pool.end() };
}
