import { ARRIVALS_SETTING, HELD_SETTING, OPEN_SETTING, settingOf } from '../lanes/requests.ts';
import type { BenchDocument } from './document.ts';
import { headline } from './headline.ts';
import type { LaneName, Row } from './row.ts';
import { formatNumber } from './tables.ts';

interface Panel {
  readonly title: string;
  readonly unit: string;
  readonly lane: LaneName;
  readonly setting: string;
  /** Drawn side by side from zero, or one after the other when stacked. */
  readonly parts: readonly { readonly metric: string; readonly label: string }[];
  readonly isStacked: boolean;
  /** Where the provider itself is zero by definition, or so far off that nothing else is seen. */
  readonly withoutDirect?: boolean;
}

const PERCENTILES = (name: string): Panel['parts'] => [
  { metric: `${name}P50Ms`, label: 'p50' },
  { metric: `${name}P99Ms`, label: 'p99' },
];
const CPU_PARTS = ['gateway', 'api', 'finn', 'worker', 'postgres', 'nats', 'redis'].map((name) => ({
  metric: `cpu/${name}Micros`,
  label: name,
}));

const PANELS: readonly Panel[] = [
  {
    title: `Added latency, plain answers, ${OPEN_SETTING}`,
    unit: 'ms',
    lane: 'unary-open',
    setting: OPEN_SETTING,
    parts: PERCENTILES('addedLatency'),
    isStacked: false,
    withoutDirect: true,
  },
  {
    title: `Added time to first token, ${ARRIVALS_SETTING}`,
    unit: 'ms',
    lane: 'stream-arrivals',
    setting: ARRIVALS_SETTING,
    parts: PERCENTILES('addedFirstToken'),
    isStacked: false,
    withoutDirect: true,
  },
  {
    title: `Gap between tokens, ${HELD_SETTING}`,
    unit: 'ms',
    lane: 'stream-held',
    setting: HELD_SETTING,
    parts: PERCENTILES('gap'),
    isStacked: false,
  },
  {
    title: `CPU a plain answer, ${settingOf(64)}`,
    unit: 'µs',
    lane: 'unary-closed',
    setting: settingOf(64),
    parts: CPU_PARTS,
    isStacked: true,
  },
  {
    title: `Plain answers a second, ${settingOf(64)}`,
    unit: '',
    lane: 'unary-closed',
    setting: settingOf(64),
    parts: [{ metric: 'perSecond', label: '' }],
    isStacked: false,
    withoutDirect: true,
  },
];

const WIDTH = 860;
const LEFT = 130;
const RIGHT = 90;
const PLOT = WIDTH - LEFT - RIGHT;
const BAR = 13;
const BAR_GAP = 3;
const GROUP_GAP = 11;
const PANEL_HEAD = 46;
const PANEL_FOOT = 34;

/** Colours that can be told apart, also by the colour-blind, on white and on black. */
const STYLE = `
  .paper { fill: #ffffff } text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px } .quiet { fill: #59636e; font-size: 11px }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .axis { stroke: #59636e; stroke-width: 1 }
  .c0 { fill: #0969da } .c1 { fill: #8250df } .c2 { fill: #bf8700 } .c3 { fill: #1a7f37 }
  .c4 { fill: #cf222e } .c5 { fill: #1b7c83 } .c6 { fill: #6e7781 } .light { opacity: .55 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9198a1 }
    .grid { stroke: #30363d } .axis { stroke: #9198a1 }
    .c0 { fill: #4493f8 } .c1 { fill: #ab7df8 } .c2 { fill: #d29922 } .c3 { fill: #3fb950 }
    .c4 { fill: #f85149 } .c5 { fill: #39c5cf } .c6 { fill: #9198a1 }
  }`;

/** Bars from zero, one panel a question; what was not measured is not drawn. */
export function toSvg(document: BenchDocument): string {
  const pieces: string[] = [];
  let y = 12;
  for (const line of headline(document)) {
    y += 16;
    pieces.push(text(16, y, line, 'quiet'));
  }
  for (const panel of PANELS) {
    const rows = document.rows.filter(
      (row) => row.lane === panel.lane && row.setting === panel.setting && belongs(row, panel),
    );
    if (rows.length === 0) continue;
    const drawn = drawPanel(panel, rows, y + 14);
    pieces.push(drawn.svg);
    y = drawn.bottom;
  }
  const height = y + 12;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Benchmark results">`,
    `<style>${STYLE}\n</style>`,
    `<rect class="paper" width="${WIDTH}" height="${height}"/>`,
    ...pieces,
    '</svg>\n',
  ].join('\n');
}

function belongs(row: Row, panel: Panel): boolean {
  if (panel.withoutDirect === true && row.contestant === 'direct') return false;
  return panel.parts.some(({ metric }) => row.metrics[metric] !== undefined);
}

function drawPanel(
  panel: Panel,
  rows: readonly Row[],
  top: number,
): { svg: string; bottom: number } {
  const scale = niceScale(Math.max(...rows.map((row) => reach(panel, row))));
  const x = (value: number): number => LEFT + (Math.max(0, value) / scale.end) * PLOT;
  const pieces = [text(16, top + 18, panel.title, 'title'), legend(panel, rows, top + 36)];
  let y = top + PANEL_HEAD;
  const bars: string[] = [];
  for (const row of rows) {
    const { svg, height } = panel.isStacked
      ? stack(panel, row, y, x)
      : sideBySide(panel, row, y, x);
    bars.push(text(LEFT - 8, y + height / 2 + 4, row.contestant, '', 'end'), svg);
    y += height + GROUP_GAP;
  }
  const bottom = y - GROUP_GAP + 6;
  for (const tick of scale.ticks) {
    const kind = tick === 0 ? 'axis' : 'grid';
    pieces.push(
      `<line class="${kind}" x1="${x(tick)}" x2="${x(tick)}" y1="${top + PANEL_HEAD - 6}" y2="${bottom}"/>`,
      text(x(tick), bottom + 14, `${formatTick(tick)} ${panel.unit}`.trim(), 'quiet', 'middle'),
    );
  }
  return { svg: [...pieces, ...bars].join('\n'), bottom: bottom + PANEL_FOOT - 10 };
}

function reach(panel: Panel, row: Row): number {
  const values = panel.parts.map(({ metric }) => row.metrics[metric] ?? 0);
  return panel.isStacked ? values.reduce((sum, one) => sum + one, 0) : Math.max(...values);
}

function sideBySide(
  panel: Panel,
  row: Row,
  top: number,
  x: (value: number) => number,
): { svg: string; height: number } {
  const svg = panel.parts.flatMap(({ metric }, index) => {
    const value = row.metrics[metric] ?? 0;
    const y = top + index * (BAR + BAR_GAP);
    const shade = index === 0 ? 'c0' : 'c0 light';
    return [
      `<rect class="${shade}" x="${LEFT}" y="${y}" width="${width(x(value) - LEFT)}" height="${BAR}"/>`,
      text(x(value) + 6, y + BAR - 2, formatNumber(value), 'quiet'),
    ];
  });
  const height = panel.parts.length * (BAR + BAR_GAP) - BAR_GAP;
  return { svg: svg.join('\n'), height };
}

function stack(
  panel: Panel,
  row: Row,
  y: number,
  x: (value: number) => number,
): { svg: string; height: number } {
  const height = BAR + 4;
  let from = 0;
  const pieces = panel.parts.flatMap(({ metric }, index) => {
    const value = row.metrics[metric];
    if (value === undefined) return [];
    const rect = `<rect class="c${index % 7}" x="${x(from)}" y="${y}" width="${width(x(from + value) - x(from))}" height="${height}"/>`;
    from += value;
    return [rect];
  });
  return {
    svg: [...pieces, text(x(from) + 6, y + height - 4, formatNumber(from), 'quiet')].join('\n'),
    height,
  };
}

function legend(panel: Panel, rows: readonly Row[], y: number): string {
  const used = panel.parts.filter(
    ({ metric, label }) => label !== '' && rows.some((row) => row.metrics[metric] !== undefined),
  );
  let x = LEFT;
  return used
    .map((part) => {
      const index = panel.parts.indexOf(part);
      const shade = panel.isStacked ? `c${index % 7}` : index === 0 ? 'c0' : 'c0 light';
      const piece = `<rect class="${shade}" x="${x}" y="${y - 9}" width="10" height="10"/>${text(x + 14, y, part.label, 'quiet')}`;
      x += 26 + part.label.length * 7;
      return piece;
    })
    .join('\n');
}

function niceScale(most: number): { end: number; ticks: number[] } {
  const rough = Math.max(most, 1e-9) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough) ?? rough;
  const count = Math.ceil(most / step);
  return {
    end: count * step,
    ticks: Array.from({ length: count + 1 }, (_, index) => index * step),
  };
}

function formatTick(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString('en-US');
}

function width(value: number): string {
  return Math.max(0, value).toFixed(1);
}

function text(x: number, y: number, content: string, kind: string, anchor = 'start'): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const style = kind === '' ? '' : ` class="${kind}"`;
  return `<text${style} x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped}</text>`;
}
