import { judge } from './goals.ts';
import type { LaneName, Row } from './row.ts';

export interface Table {
  readonly title: string;
  readonly note?: string;
  readonly head: readonly string[];
  readonly body: readonly (readonly string[])[];
}

interface Column {
  readonly title: string;
  readonly metric: string;
}

/** Three significant digits at most, without exponents. */
export function formatNumber(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  const magnitude = Math.abs(value);
  if (magnitude >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(magnitude >= 10 ? 1 : 2);
}

const LATENCY: readonly Column[] = [
  { title: 'a second', metric: 'perSecond' },
  { title: 'p50 ms', metric: 'latencyP50Ms' },
  { title: 'p99 ms', metric: 'latencyP99Ms' },
  { title: 'added p50', metric: 'addedLatencyP50Ms' },
  { title: 'added p99', metric: 'addedLatencyP99Ms' },
];
const FIRST_TOKEN: readonly Column[] = [
  { title: 'first token p50 ms', metric: 'firstTokenP50Ms' },
  { title: 'p99 ms', metric: 'firstTokenP99Ms' },
  { title: 'added p50', metric: 'addedFirstTokenP50Ms' },
  { title: 'added p99', metric: 'addedFirstTokenP99Ms' },
];
const GAP: readonly Column[] = [
  { title: 'together', metric: 'together' },
  { title: 'tokens a second', metric: 'perSecond' },
  { title: 'gap p50 ms', metric: 'gapP50Ms' },
  { title: 'gap p99 ms', metric: 'gapP99Ms' },
];
const HOLD: readonly Column[] = [
  { title: 'pairs a second', metric: 'perSecond' },
  { title: 'hold p50 ms', metric: 'latencyP50Ms' },
  { title: 'hold p99 ms', metric: 'latencyP99Ms' },
  { title: 'settled p99 ms', metric: 'pairP99Ms' },
];
const PROCESSES = ['gateway', 'api', 'finn', 'worker', 'postgres', 'redis', 'nats'];
const CPU: readonly Column[] = [
  { title: 'CPU µs', metric: 'cpuMicros' },
  ...[...PROCESSES, 'provider', 'generator'].map((name) => ({
    title: name,
    metric: `cpu/${name}Micros`,
  })),
];
const NOISE: Column = { title: 'others %', metric: 'othersPercent' };

const LANES: readonly {
  readonly lane: LaneName;
  readonly title: string;
  readonly note?: string;
  readonly columns: readonly Column[];
}[] = [
  {
    lane: 'unary-closed',
    title: 'Plain answers, closed loop',
    note: 'Each caller asks again as soon as it was answered. CPU per request.',
    columns: [...LATENCY, ...CPU, NOISE],
  },
  {
    lane: 'unary-open',
    title: 'Plain answers, open loop',
    note: 'The provider takes 25–75 ms, which is taken off each latency; measured from the moment at which the request was due.',
    columns: [...LATENCY, ...CPU, NOISE],
  },
  {
    lane: 'stream-single',
    title: 'Streams, one at a time',
    columns: [...FIRST_TOKEN, ...CPU, NOISE],
  },
  {
    lane: 'stream-arrivals',
    title: 'Streams, open loop',
    note: '50 tokens each, one every 20 ms.',
    columns: [...FIRST_TOKEN, ...CPU, NOISE],
  },
  {
    lane: 'stream-held',
    title: 'Many streams at once',
    note: 'Every answer was complete and in order. CPU per token. Together: streams that ran all the time in which it was measured. The first token is that of streams which begin, 128 a second, while up to 512 run.',
    columns: [...GAP, ...FIRST_TOKEN, ...CPU, NOISE],
  },
  {
    lane: 'ledger-closed',
    title: 'Holds and settlements on one account, closed loop',
    note: 'One process; the hold is awaited, the settlement follows. CPU per pair.',
    columns: [...HOLD, ...CPU, NOISE],
  },
  {
    lane: 'ledger-open',
    title: 'Holds and settlements on one account, open loop',
    columns: [...HOLD, ...CPU, NOISE],
  },
  {
    lane: 'start-up',
    title: 'From start to ready',
    columns: [{ title: 'ms', metric: 'startMs' }],
  },
];

export function tablesOf(rows: readonly Row[]): Table[] {
  return [
    goalTable(rows),
    ...LANES.flatMap((one) => laneTable(one, rows)),
    ...memoryTable(rows),
  ].filter((table) => table.body.length > 0);
}

function goalTable(rows: readonly Row[]): Table {
  return {
    title: 'Goals',
    head: ['', 'at most', 'measured', ''],
    body: judge(rows).map(({ text, unit, limit, measured, isMet }) => [
      text,
      `${limit} ${unit}`,
      measured === undefined ? 'not measured' : `${formatNumber(measured)} ${unit}`,
      measured === undefined ? '' : isMet ? 'met' : 'missed',
    ]),
  };
}

function laneTable(
  { lane, title, note, columns }: (typeof LANES)[number],
  rows: readonly Row[],
): Table[] {
  const found = rows.filter((row) => row.lane === lane);
  const used = columns.filter(({ metric }) =>
    found.some((row) => row.metrics[metric] !== undefined),
  );
  const faults = found.flatMap(({ contestant, setting, fault }) =>
    fault === undefined ? [] : [`${contestant}, ${setting}: ${fault}`],
  );
  const notes = [...(note === undefined ? [] : [note]), ...faults];
  return [
    {
      title,
      ...(notes.length === 0 ? {} : { note: notes.join(' ') }),
      head: ['', '', ...used.map((column) => column.title)],
      body: found.map((row) => [
        row.setting,
        row.contestant,
        ...used.map(({ metric }) => formatNumber(row.metrics[metric])),
      ]),
    },
  ];
}

function memoryTable(rows: readonly Row[]): Table[] {
  return rows.filter(({ lane }) => lane === 'memory').map(memoryRows);
}

function memoryRows({ metrics, rounds }: Row): Table {
  const minutes = (rounds.at(-1)?.atMs ?? 0) / 60_000;
  const names = PROCESSES.filter((name) => metrics[`rss/${name}Mib`] !== undefined);
  return {
    title: 'Resident memory at half load',
    note: `${formatNumber(metrics.perSecond)} requests a second for ${formatNumber(minutes)} min, half of them streams; growth over the last 70 % of the time.`,
    head: ['', 'MiB', 'at most', 'growth, MiB a minute'],
    body: names.map((name) => [
      name,
      formatNumber(metrics[`rss/${name}Mib`]),
      formatNumber(metrics[`rssMax/${name}Mib`]),
      formatNumber(metrics[`growth/${name}MibPerMinute`]),
    ]),
  };
}

/** For the terminal: columns aligned. */
export function toText(table: Table): string {
  const lines = [table.head, ...table.body];
  const widths = table.head.map((_, index) =>
    Math.max(...lines.map((line) => line[index]?.length ?? 0)),
  );
  const text = lines.map((line) =>
    line
      .map((cell, index) =>
        isText(table, index) ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  return [`\n${table.title}`, ...(table.note === undefined ? [] : [table.note]), ...text].join(
    '\n',
  );
}

export function toMarkdown(table: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = table.head.map((_, index) => (isText(table, index) ? '---' : '--:'));
  return [
    `## ${table.title}`,
    ...(table.note === undefined ? [] : [table.note]),
    [line(table.head), line(rule), ...table.body.map(line)].join('\n'),
  ].join('\n\n');
}

function isText(table: Table, index: number): boolean {
  return index === 0 || table.head[index] === '';
}
