import { drawLegend, seriesColor } from './draw-legend.ts';
import type { FieldConfig } from './panels.ts';
import type { Line, Range } from './query.ts';
import { THEME, colorOf, fixed, rect, text, type Box } from './svg.ts';
import { formatValue } from './units.ts';

interface Plot {
  readonly box: Box;
  readonly max: number;
  readonly range: Range;
}

interface Drawn extends Line {
  readonly color: string;
  /** What lies below each point, by its time; empty when nothing is stacked. */
  readonly base: ReadonlyMap<number, number>;
}

const AXIS_WIDTH = 52;
const LEGEND_ROWS = 2;
const GRID_LINES = 4;

export function drawLines(
  config: FieldConfig,
  lines: readonly Line[],
  box: Box,
  range: Range,
): string {
  const { unit, max, thresholds, custom } = config.defaults;
  const isStacked = custom?.stacking?.mode === 'normal';
  const drawn = prepare(config, lines, isStacked);
  const highest = Math.max(0, ...drawn.flatMap(tops));
  const plot: Plot = {
    box: { x: box.x + AXIS_WIDTH, y: box.y + 4, w: box.w - AXIS_WIDTH - 4, h: box.h - 52 },
    max: max ?? niceMax(highest),
    range,
  };
  const limit = thresholds?.steps.at(-1)?.value;
  return [
    drawGrid(plot, unit),
    ...drawn.map((line) => drawLine(line, plot, isStacked)),
    typeof limit === 'number' && limit <= plot.max ? drawLimit(plot, limit) : '',
    drawLegend(drawn, { ...box, y: box.y + box.h - 28, h: 28 }, LEGEND_ROWS),
  ].join('');
}

function prepare(config: FieldConfig, lines: readonly Line[], isStacked: boolean): Drawn[] {
  const sums = new Map<number, number>();
  return lines.map((line, index) => {
    const base = new Map<number, number>();
    if (isStacked) {
      for (const [at, value] of line.points) {
        base.set(at, sums.get(at) ?? 0);
        sums.set(at, (sums.get(at) ?? 0) + (Number.isFinite(value) ? value : 0));
      }
    }
    return { ...line, color: seriesColor(config, line.name, index), base };
  });
}

function tops({ points, base }: Drawn): number[] {
  return points.map(([at, value]) => (Number.isFinite(value) ? value + (base.get(at) ?? 0) : 0));
}

function niceMax(highest: number): number {
  if (highest <= 0) return 1;
  const magnitude = 10 ** Math.floor(Math.log10(highest));
  const step = [1, 2, 4, 5, 8, 10].find((each) => each * magnitude >= highest * 1.02);
  return (step ?? 10) * magnitude;
}

function place({ box, max, range }: Plot, at: number, value: number): { x: number; y: number } {
  const { fromSeconds, toSeconds } = range;
  return {
    x: box.x + ((at - fromSeconds) / (toSeconds - fromSeconds)) * box.w,
    y: box.y + box.h - (Math.min(Math.max(value, 0), max) / max) * box.h,
  };
}

function drawGrid({ box, max, range }: Plot, unit: string): string {
  let out = '';
  for (let index = 0; index <= GRID_LINES; index += 1) {
    const y = box.y + box.h - (index / GRID_LINES) * box.h;
    const label = formatValue((max * index) / GRID_LINES, unit);
    out += `<path d="M${fixed(box.x)} ${fixed(y)}h${fixed(box.w)}" stroke="${THEME.edge}"/>`;
    out += text(box.x - 6, y + 4, label, { anchor: 'end', size: 10, color: THEME.dim });
  }
  const minutes = (range.toSeconds - range.fromSeconds) / 60;
  const every = Math.max(1, Math.ceil(minutes / 5));
  for (let minute = 0; minute <= minutes; minute += every) {
    const x = box.x + (minute / minutes) * box.w;
    out += text(x, box.y + box.h + 14, `${minute} min`, {
      anchor: minute === minutes ? 'end' : 'middle',
      size: 10,
      color: THEME.dim,
    });
  }
  return out;
}

function drawLimit(plot: Plot, limit: number): string {
  const { x, y } = place(plot, plot.range.fromSeconds, limit);
  return `<path d="M${fixed(x)} ${fixed(y)}h${fixed(plot.box.w)}" stroke="${colorOf('red')}" stroke-dasharray="4 4" stroke-opacity="0.6"/>`;
}

/** A gap where there was no value. */
function drawLine(line: Drawn, plot: Plot, isFilled: boolean): string {
  return stretches(line, plot.range.stepSeconds)
    .map((points) => {
      const top = points.map(([at, value]) => place(plot, at, value + (line.base.get(at) ?? 0)));
      const [first] = top;
      if (first === undefined) return '';
      if (top.length === 1) return rect({ x: first.x - 1, y: first.y - 1, w: 2, h: 2 }, line.color);
      const path = toPath(top);
      const stroke = `<path d="${path}" fill="none" stroke="${line.color}" stroke-width="1.3"/>`;
      if (!isFilled) return stroke;
      const below = points.map(([at]) => place(plot, at, line.base.get(at) ?? 0)).reverse();
      const area = `${path}L${toPath(below).slice(1)}Z`;
      return `<path d="${area}" fill="${line.color}" fill-opacity="0.35"/>${stroke}`;
    })
    .join('');
}

type Points = Line['points'][number][];

function stretches({ points }: Line, stepSeconds: number): Points[] {
  const out: Points[] = [];
  let lastAt = Number.NEGATIVE_INFINITY;
  for (const point of points) {
    if (!Number.isFinite(point[1])) continue;
    if (point[0] - lastAt > stepSeconds * 1.5) out.push([]);
    out.at(-1)?.push(point);
    lastAt = point[0];
  }
  return out;
}

function toPath(points: readonly { readonly x: number; readonly y: number }[]): string {
  return `M${points.map(({ x, y }) => `${fixed(x)} ${fixed(y)}`).join('L')}`;
}
