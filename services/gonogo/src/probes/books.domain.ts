/** What `GET /api/v1/balance` says, in micro-credits. */
export interface BalanceView {
  readonly available: bigint;
  readonly held: bigint;
  readonly spent: bigint;
  readonly expired: bigint;
  readonly refunded: bigint;
  readonly minted: bigint;
}

/** What the billing gate needs of a receipt. */
export interface ReceiptView {
  readonly requestId: string;
  readonly status: string;
  readonly holdMicro: bigint;
  readonly chargeMicro: bigint;
  readonly writtenOffMicro: bigint;
  readonly completionTokens: number;
}

const NAMES = ['available', 'held', 'spent', 'expired', 'refunded', 'minted'] as const;
const TERMINAL: readonly string[] = ['finalized', 'released', 'orphan_released'];
const MICRO = /^(0|[1-9][0-9]*)$/;

export function isSettled({ status }: ReceiptView): boolean {
  return TERMINAL.includes(status);
}

/** @returns `undefined` for anything but a balance. */
export function parseBalance(body: unknown): BalanceView | undefined {
  const [available, held, spent, expired, refunded, minted] = NAMES.map((name) =>
    microOf(body, name),
  );
  if (available === undefined || held === undefined || spent === undefined) return undefined;
  if (expired === undefined || refunded === undefined || minted === undefined) return undefined;
  return { available, held, spent, expired, refunded, minted };
}

/** @returns `undefined` for anything but a receipt. */
export function parseReceipt(body: unknown): ReceiptView | undefined {
  const holdMicro = microOf(body, 'hold');
  const chargeMicro = microOf(body, 'charge');
  const writtenOffMicro = microOf(body, 'writtenOff');
  const { requestId, status, completionTokens } = membersOf(body);
  if (holdMicro === undefined || chargeMicro === undefined || writtenOffMicro === undefined) {
    return undefined;
  }
  if (typeof requestId !== 'string' || typeof status !== 'string') return undefined;
  const tokens = typeof completionTokens === 'number' ? completionTokens : 0;
  return { requestId, status, holdMicro, chargeMicro, writtenOffMicro, completionTokens: tokens };
}

/** Everything that was ever minted is somewhere. */
export function balanceFaults(view: BalanceView): string[] {
  const sum = view.available + view.held + view.spent + view.expired + view.refunded;
  if (sum === view.minted) return [];
  return [`the balance is off by ${String(sum - view.minted)}: minted ${String(view.minted)}`];
}

/** What receipts charge must have left the balance; others may have spent from it too. */
export function fallFaults(chargedMicro: bigint, fellByMicro: bigint): string[] {
  if (fellByMicro >= chargedMicro) return [];
  return [`receipts say ${String(chargedMicro)}, the balance fell by ${String(fellByMicro)}`];
}

/** A delivered answer was paid for, within its hold. */
export function receiptFaults(receipt: ReceiptView): string[] {
  const { requestId, status, holdMicro, chargeMicro, writtenOffMicro } = receipt;
  const name = `receipt ${requestId}`;
  if (status !== 'finalized') return [`${name} ended as ${status} though its answer arrived`];
  return [
    ...(chargeMicro > 0n ? [] : [`${name} charges nothing`]),
    ...(chargeMicro <= holdMicro ? [] : [`${name} charges more than was held`]),
    ...(writtenOffMicro === 0n ? [] : [`${name} was not paid in full`]),
    ...(receipt.completionTokens > 0 ? [] : [`${name} counts no tokens`]),
  ];
}

function microOf(body: unknown, name: string): bigint | undefined {
  const value = membersOf(body)[name];
  return typeof value === 'string' && MICRO.test(value) ? BigInt(value) : undefined;
}

function membersOf(body: unknown): Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
}
