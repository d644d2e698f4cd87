import { drawLines } from './draw-lines.ts';
import type { FieldConfig, Panel } from './panels.ts';
import type { Line, Range } from './query.ts';
import { THEME, colorOf, rect, text, type Box } from './svg.ts';
import { formatValue } from './units.ts';

/** One panel with its frame and title, as SVG. */
export function drawPanel(panel: Panel, lines: readonly Line[], box: Box, range: Range): string {
  if (panel.type === 'row')
    return text(box.x, box.y + 20, `▾ ${panel.title}`, { size: 15, weight: 600 });
  const frame = rect(box, THEME.panel, `rx="3" stroke="${THEME.edge}"`);
  const title = text(box.x + 8, box.y + 18, panel.title, { size: 12, weight: 600 });
  const inner = { x: box.x + 8, y: box.y + 26, w: box.w - 16, h: box.h - 32 };
  return `${frame}${drawInside(panel, lines, inner, range, box)}${title}`;
}

function drawInside(
  panel: Panel,
  lines: readonly Line[],
  inner: Box,
  range: Range,
  box: Box,
): string {
  if (lines.length === 0 || panel.fieldConfig === undefined) {
    return text(inner.x + inner.w / 2, inner.y + inner.h / 2, 'No data', {
      anchor: 'middle',
      color: THEME.dim,
    });
  }
  if (panel.type === 'stat') return drawStat(panel.fieldConfig, lines, box);
  if (panel.type === 'state-timeline') return drawStates(panel.fieldConfig, lines, inner, range);
  return drawLines(panel.fieldConfig, lines, inner, range);
}

function drawStat({ defaults }: FieldConfig, lines: readonly Line[], box: Box): string {
  const points = lines[0]?.points ?? [];
  const value = points.findLast(([, each]) => Number.isFinite(each))?.[1] ?? Number.NaN;
  const steps = defaults.thresholds?.steps ?? [];
  const step = steps.findLast((each) => each.value === null || value >= each.value);
  const middle = { x: box.x + box.w / 2, y: box.y + box.h / 2 + 20 };
  return (
    rect(box, colorOf(step?.color ?? 'blue'), 'rx="3" fill-opacity="0.75"') +
    text(middle.x, middle.y, formatValue(value, defaults.unit, defaults.decimals), {
      size: 30,
      weight: 600,
      anchor: 'middle',
      color: '#ffffff',
    })
  );
}

const NAME_WIDTH = 185;

/** One bar a series, a stretch of colour for each state. */
function drawStates(
  { defaults }: FieldConfig,
  lines: readonly Line[],
  box: Box,
  range: Range,
): string {
  const names = defaults.mappings[0]?.options ?? {};
  const legendHeight = 18;
  const height = (box.h - legendHeight) / lines.length;
  const left = box.x + NAME_WIDTH;
  const scale = (box.w - NAME_WIDTH) / (range.toSeconds - range.fromSeconds);
  const bars = lines.map(({ name, points }, index) => {
    const y = box.y + index * height;
    const pieces = points.map(([at, value]) => {
      const state = names[String(value)];
      const x = left + (at - range.fromSeconds) * scale;
      const w = Math.min(range.stepSeconds * scale + 0.6, box.x + box.w - x);
      return { x, y: y + 1, w: Math.max(0, w), h: height - 2, color: state?.color ?? 'blue' };
    });
    return (
      text(left - 6, y + height / 2 + 4, name, { anchor: 'end', size: 10, color: THEME.dim }) +
      joinPieces(pieces)
    );
  });
  const legend = Object.values(names).map(({ text: label, color }, index) => {
    const x = box.x + NAME_WIDTH + index * 90;
    const y = box.y + box.h - 4;
    return (
      rect({ x, y: y - 8, w: 10, h: 8 }, colorOf(color)) + text(x + 14, y, label, { size: 10 })
    );
  });
  return bars.join('') + legend.join('');
}

type Piece = Box & { readonly color: string };

/** Neighbours of one colour become one rectangle; a picture of small ones would be large. */
function joinPieces(pieces: readonly Piece[]): string {
  const joined: Piece[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    const touches = last !== undefined && piece.x - (last.x + last.w) < 1;
    if (touches && last.color === piece.color) {
      joined[joined.length - 1] = { ...last, w: piece.x + piece.w - last.x };
    } else joined.push(piece);
  }
  return joined.map((piece) => rect(piece, colorOf(piece.color), 'fill-opacity="0.85"')).join('');
}
