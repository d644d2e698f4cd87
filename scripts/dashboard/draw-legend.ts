import type { FieldConfig } from './panels.ts';
import { THEME, colorOf, fixed, paletteColor, text, type Box } from './svg.ts';

/** Left to right, wrapped; what doesn't fit in `rows` rows is counted. */
export function drawLegend(
  names: readonly { readonly name: string; readonly color: string }[],
  box: Box,
  rows: number,
): string {
  let x = box.x;
  let row = 0;
  let out = '';
  for (const [index, { name, color }] of names.entries()) {
    const width = 22 + name.length * 6;
    if (x + width > box.x + box.w && x > box.x) {
      row += 1;
      x = box.x;
    }
    const y = box.y + 9 + row * 13;
    const more = names.length - index;
    if (row >= rows - 1 && x + width + 70 > box.x + box.w && more > 1) {
      return `${out}${text(x, y, `and ${more} more`, { size: 10, color: THEME.dim })}`;
    }
    out += `<path d="M${fixed(x)} ${fixed(y - 3)}h12" stroke="${color}" stroke-width="3"/>`;
    out += text(x + 16, y, name, { size: 10, color: THEME.dim });
    x += width;
  }
  return out;
}

export function seriesColor({ overrides }: FieldConfig, name: string, index: number): string {
  const override = overrides.find(({ matcher }) => matcher.options === name);
  const color = override?.properties[0]?.value.fixedColor;
  return color === undefined ? paletteColor(index) : colorOf(color);
}
