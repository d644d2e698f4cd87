/** Grafana's names of colours, in its dark theme. */
const NAMED: Readonly<Record<string, string>> = {
  green: '#73bf69',
  'semi-dark-green': '#56a64b',
  yellow: '#f2cc0c',
  orange: '#ff9830',
  red: '#f2495c',
  blue: '#5794f2',
};
const PALETTE = [
  '#73bf69',
  '#f2cc0c',
  '#5794f2',
  '#ff9830',
  '#b877d9',
  '#8ab8ff',
  '#ff7383',
  '#96d98d',
  '#ffb357',
  '#ca95e5',
];
export const THEME = {
  page: '#111217',
  panel: '#181b1f',
  edge: '#2b2f36',
  text: '#ccccdc',
  dim: '#8e8e9a',
};

export function colorOf(name: string): string {
  return NAMED[name] ?? name;
}

export function paletteColor(index: number): string {
  return PALETTE[index % PALETTE.length] ?? THEME.text;
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

export interface TextStyle {
  readonly size?: number;
  readonly color?: string;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly weight?: number;
}

export function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { size = 11, color = THEME.text, anchor = 'start', weight = 400 } = style;
  return `<text x="${fixed(x)}" y="${fixed(y)}" font-size="${size}" fill="${color}" text-anchor="${anchor}" font-weight="${weight}">${escapeXml(content)}</text>`;
}

export function rect({ x, y, w, h }: Box, fill: string, extra = ''): string {
  return `<rect x="${fixed(x)}" y="${fixed(y)}" width="${fixed(w)}" height="${fixed(h)}" fill="${fill}" ${extra}/>`;
}

export function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}
