import { createLogger, createRegistry } from '@arrakis/service-kit';
import type { Pool } from 'pg';
import { createPaymentEvents } from '../services/freeside/src/features/payments/events.ts';
import { PaymentIntake } from '../services/freeside/src/features/payments/intake.service.ts';
import {
  PaymentRepair,
  type CaseFilter,
  type PaymentCase,
  type PaymentFile,
  type Replay,
  type Resolution,
} from '../services/freeside/src/features/payments/repair.service.ts';
import {
  EXIT,
  UsageError,
  parseFlags,
  runCommand,
  withDatabase,
  type ExitCode,
} from './keys/command-line.ts';
import { say } from './lib/entry.ts';

const USAGE = `Usage: node scripts/payments.ts <command>

  list [stuck | review | all]        stuck: money on its way, no news for 30 minutes; review is the default,
                                     with what has waited longest first; the others newest first; 1000 at most
  show <payment id>                  what happened, what the vendor said, what waits
  replay <delivery id>               has a kept report of the vendor decided again
  resolve <payment id> [--review <id>] --as mint | ignore | refund
          --operator <name> --reason <text>

Environment: DATABASE_URL (role freeside_app)
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a rule`;

const OPTIONS = {
  review: { type: 'string' },
  as: { type: 'string' },
  operator: { type: 'string' },
  reason: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NUMBER = /^[1-9]\d{0,17}$/;
const LIST_LIMIT = 1_000;

type Parsed = ReturnType<typeof parseFlags<typeof OPTIONS>>;

await runCommand(USAGE, async () => {
  const parsed = parseFlags(process.argv.slice(2), OPTIONS);
  if (parsed.values.help) {
    say(USAGE);
    return EXIT.ok;
  }
  const run = commandOf(parsed);
  return withDatabase('where the payments are', (pool) => run(openRepair(pool)));
});

/** Understood before any connection is made. */
function commandOf({ positionals, values }: Parsed): (repair: PaymentRepair) => Promise<ExitCode> {
  const [command, subject, ...rest] = positionals;
  if (rest.length > 0) throw new UsageError('too many arguments');
  if (command === 'list') {
    const filter = filterOf(subject ?? 'review');
    return (repair) => list(repair, filter);
  }
  if (command === 'show') {
    const id = idOf(subject);
    return (repair) => show(repair, id);
  }
  if (command === 'replay') {
    const delivery = numberOf(subject, 'replay takes the number of a delivery, which show tells');
    return async (repair) => replayed(await repair.replay(delivery));
  }
  if (command === 'resolve') {
    const resolution = resolutionOf(idOf(subject), values);
    return (repair) => resolve(repair, resolution);
  }
  throw new UsageError('say list, show, replay or resolve');
}

function openRepair(pool: Pool): PaymentRepair {
  const logger = createLogger({ service: 'payments', level: 'silent' });
  const events = createPaymentEvents(createRegistry('payments'), logger);
  return new PaymentRepair({ db: pool, events, intake: new PaymentIntake({ db: pool, events }) });
}

function filterOf(text: string): CaseFilter {
  if (text === 'stuck' || text === 'review' || text === 'all') return text;
  throw new UsageError('list takes stuck, review or all');
}

function idOf(text: string | undefined): string {
  if (text === undefined || !UUID.test(text)) throw new UsageError('give the id of a payment');
  return text;
}

function numberOf(text: string | undefined, otherwise: string): string {
  if (text === undefined || !NUMBER.test(text)) throw new UsageError(otherwise);
  return text;
}

function resolutionOf(paymentId: string, values: Parsed['values']): Resolution {
  const { as: resolution, review } = values;
  if (resolution !== 'mint' && resolution !== 'ignore' && resolution !== 'refund') {
    throw new UsageError('--as takes mint, ignore or refund');
  }
  const operator = textOf(values.operator, '--operator has to name who decides');
  const reason = textOf(values.reason, '--reason has to say why');
  if (resolution === 'ignore' && review === undefined) {
    throw new UsageError('ignore needs --review');
  }
  const reviewId = review === undefined ? null : numberOf(review, '--review takes a number');
  return { paymentId, reviewId, resolution, operator, reason };
}

function textOf(text: string | undefined, otherwise: string): string {
  const trimmed = text?.trim() ?? '';
  if (trimmed === '') throw new UsageError(otherwise);
  return trimmed;
}

async function list(repair: PaymentRepair, filter: CaseFilter): Promise<ExitCode> {
  const found = await repair.list(filter, LIST_LIMIT + 1);
  const cases = found.slice(0, LIST_LIMIT);
  for (const one of cases) {
    const reviews = one.openReviews.map((review) => `${review.id}:${review.reason}`).join(' ');
    const at = one.createdAt.toISOString();
    say(
      [one.id, at, one.community, one.packId, one.status, creditOf(one), reviews].join('  ').trim(),
    );
  }
  const isCut = found.length > cases.length;
  say(isCut ? `the first ${cases.length} payments of more` : `${cases.length} payments`);
  return EXIT.ok;
}

function creditOf({ isCredited, isRefunded }: PaymentCase): string {
  return isRefunded ? 'refunded' : isCredited ? 'credited' : 'not-credited';
}

async function show(repair: PaymentRepair, id: string): Promise<ExitCode> {
  const file = await repair.show(id);
  if (file === undefined) {
    say('There is no such payment.');
    return EXIT.refused;
  }
  for (const line of linesOf(file)) say(line);
  return EXIT.ok;
}

function linesOf({ payment, repeats, events, deliveries }: PaymentFile): string[] {
  const { repeatsPaymentId, setAsideAt } = payment;
  return [
    `payment   ${payment.id} of ${payment.community}: ${payment.packId}, ${payment.status}`,
    `vendor    ${payment.vendorPaymentId ?? 'has not named it yet'}`,
    `debt      ${payment.debtMicro} micro-credits`,
    ...(repeatsPaymentId === null ? [] : [`repeats   ${repeatsPaymentId}`]),
    ...(setAsideAt === null ? [] : [`set aside ${setAsideAt.toISOString()}`]),
    ...repeats.map(
      (one) =>
        `repeat    ${one.id}: ${one.status}, ${creditOf(one)} (vendor payment ${one.vendorPaymentId ?? 'unknown'})`,
    ),
    ...payment.openReviews.map(
      (one) =>
        `review    ${one.id}: ${one.reason} (vendor payment ${one.vendorPaymentId}, ${one.vendorStatus}; delivery ${one.deliveryId})`,
    ),
    ...events.map((one) => {
      const what = [
        one.kind,
        one.fromStatus,
        one.toStatus,
        one.amountMicro,
        one.operator,
        one.reason,
      ];
      const said = what.filter((part) => part !== null).join(' ');
      return `event     ${one.at.toISOString()} ${one.source}: ${said}`;
    }),
    ...deliveries.map(
      (one) =>
        `delivery  ${one.id} ${one.at.toISOString()} ${one.source} ${one.outcome} ${JSON.stringify(one.report)}`,
    ),
  ];
}

function replayed(replay: Replay): ExitCode {
  switch (replay.kind) {
    case 'applied': {
      const { outcome, to, review } = replay.decision;
      say([outcome, to, review].filter((part) => part !== undefined).join(' '));
      return EXIT.ok;
    }
    case 'paused':
      say(`Told too often; again in ${replay.retryAfterSeconds} s.`);
      return EXIT.refused;
    case 'unbound':
      say('The report belongs to no payment of ours.');
      return EXIT.refused;
    case 'not_found':
      say('There is no such delivery.');
      return EXIT.refused;
    case 'unreadable':
      say('The report lacks what is needed to read it.');
      return EXIT.refused;
  }
}

async function resolve(repair: PaymentRepair, resolution: Resolution): Promise<ExitCode> {
  const { outcome, books } = await repair.resolve(resolution);
  const { mintedMicro, debtPaidMicro, refundedMicro, debtMicro } = books;
  if (outcome !== 'done') {
    say(`Refused: ${outcome.replaceAll('_', ' ')}.`);
    return EXIT.refused;
  }
  say(
    `Done: minted ${mintedMicro}, of which debts took ${debtPaidMicro}; refunded ${refundedMicro}, owed ${debtMicro} (micro-credits).`,
  );
  return EXIT.ok;
}
