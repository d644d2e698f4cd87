import {
  FORMAT,
  checkpointBody,
  headerLine,
  type AuditRecord,
  type Checkpoint,
  type Header,
  type LinkLine,
  type Signature,
} from './line.domain.ts';

const POSITIVE = '[1-9][0-9]{0,18}';
const NATURAL = `(?:0|${POSITIVE})`;
const TIME = '\\d{4,6}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z';
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const WORD = '[a-z_]{1,40}';
const HASH = '[0-9a-f]{64}';
const orNull = (pattern: string): string => `(?:null|"(${pattern})")`;

const RECORD = new RegExp(
  `^(\\{"type":"record","sequence":"(${POSITIVE})","source":"(entry|adjustment)","id":"(${POSITIVE})","at":"(${TIME})","community":"(${UUID})","kind":"(${WORD})","from":${orNull(WORD)},"to":${orNull(WORD)},"amount_micro":"(-?${POSITIVE})","reservation":${orNull(UUID)},"lot":${orNull(UUID)}),"hash":"(${HASH})"\\}$`,
);
const CHECKPOINT = new RegExp(
  `^(\\{"type":"checkpoint",.*),"hash":"(${HASH})","kid":${orNull('[A-Za-z0-9_-]{1,64}')},"signature":${orNull('[A-Za-z0-9_-]{86}')}\\}$`,
);
const HEADER = new RegExp(
  `^\\{"type":"header","format":"${FORMAT}","after":"(${NATURAL})","last":"(${NATURAL})","previous":"(${HASH})","exported_at":"([0-9TZ.:-]{20,27})"\\}$`,
);

/** `undefined` for anything but the canonical form; so two readers never read a line differently. */
export function parseHeader(line: string): Header | undefined {
  const match = HEADER.exec(line);
  if (match === null) return undefined;
  const [, after = '', last = '', previous = '', exportedAt = ''] = match;
  const header = { after: BigInt(after), last: BigInt(last), previous, exportedAt };
  return headerLine(header) === line ? header : undefined;
}

/** `undefined` for anything but the canonical form of a record or a checkpoint. */
export function parseLink(line: string): LinkLine | undefined {
  return line.startsWith('{"type":"record"') ? parseRecord(line) : parseCheckpoint(line);
}

function parseRecord(line: string): LinkLine | undefined {
  const match = RECORD.exec(line);
  if (match === null) return undefined;
  const value = readRecord(match);
  // An entry moves something between two accounts; an adjustment names none.
  const { source, from, to, amountMicro } = value;
  const fits = source === 'entry' ? moves(from, to, amountMicro) : from === null && to === null;
  const given = (group: number): string => match[group] ?? '';
  return fits
    ? { link: { type: 'record', value }, body: `${given(1)}}`, hash: given(13) }
    : undefined;
}

function readRecord(match: RegExpExecArray): AuditRecord {
  const given = (group: number): string => match[group] ?? '';
  const orNone = (group: number): string | null => match[group] ?? null;
  return {
    sequence: BigInt(given(2)),
    source: given(3) === 'entry' ? 'entry' : 'adjustment',
    id: BigInt(given(4)),
    at: given(5),
    community: given(6),
    kind: given(7),
    from: orNone(8),
    to: orNone(9),
    amountMicro: BigInt(given(10)),
    reservation: orNone(11),
    lot: orNone(12),
  };
}

function moves(from: string | null, to: string | null, amountMicro: bigint): boolean {
  return from !== null && to !== null && from !== to && amountMicro > 0n;
}

function parseCheckpoint(line: string): LinkLine | undefined {
  const match = CHECKPOINT.exec(line);
  if (match === null) return undefined;
  const [, open = '', hash = '', kid, signature] = match;
  if ((kid === undefined) !== (signature === undefined)) return undefined;
  const body = `${open}}`;
  const value = readCheckpoint(body);
  if (value === undefined) return undefined;
  return { link: { type: 'checkpoint', value, signature: signed(kid, signature) }, body, hash };
}

function signed(kid: string | undefined, value: string | undefined): Signature | undefined {
  return kid === undefined || value === undefined ? undefined : { kid, value };
}

/** Whatever JSON it is: written again it must be the same text. */
function readCheckpoint(body: string): Checkpoint | undefined {
  try {
    const { sequence, at, first, conservation, balances } = JSON.parse(body) as CheckpointJson;
    const checkpoint = {
      sequence: natural(sequence),
      at: matching(TIME, at),
      first: natural(first),
      conservation: {
        depth: matching(WORD, conservation.depth),
        violations: natural(conservation.violations),
        driftMicro: natural(conservation.drift_micro),
      },
      balances: balances.map(({ community, accounts }) => ({
        community: matching(UUID, community),
        accounts: Object.fromEntries(
          Object.entries(accounts).map(([kind, micro]) => [matching(WORD, kind), integer(micro)]),
        ),
      })),
    };
    return checkpointBody(checkpoint) === body ? checkpoint : undefined;
  } catch {
    return undefined;
  }
}

/** What it claims to be; every member is checked as it is read. */
interface CheckpointJson {
  readonly sequence: unknown;
  readonly at: unknown;
  readonly first: unknown;
  readonly conservation: {
    readonly depth: unknown;
    readonly violations: unknown;
    readonly drift_micro: unknown;
  };
  readonly balances: readonly {
    readonly community: unknown;
    readonly accounts: Readonly<Record<string, unknown>>;
  }[];
}

function matching(pattern: string, value: unknown): string {
  if (typeof value !== 'string' || !new RegExp(`^(?:${pattern})$`).test(value)) {
    throw new TypeError('not as it has to be');
  }
  return value;
}

/** A drift is a sum over everything, so it may be longer than an amount. */
function natural(value: unknown): bigint {
  return BigInt(matching('0|[1-9][0-9]{0,39}', value));
}

function integer(value: unknown): bigint {
  return BigInt(matching('0|-?[1-9][0-9]{0,18}', value));
}
