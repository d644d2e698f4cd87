import { drawPanel } from './draw-panel.ts';
import { readPanels } from './panels.ts';
import { queryPanel, type Range } from './query.ts';
import { THEME, rect, text } from './svg.ts';

const WIDTH = 1600;
const COLUMNS = 24;
const ROW_HEIGHT = 27;
const GAP = 8;
const TOP = 64;

/**
 * The dashboard as one SVG without anything from outside: its own panels and queries, asked of a
 * Prometheus over `range`. Not Grafana: a drawing of what Grafana would be told.
 */
export async function drawDashboard(prometheusUrl: string, range: Range): Promise<string> {
  const { title, panels } = readPanels();
  const cell = (WIDTH - GAP) / COLUMNS;
  const drawn = panels.map(async (panel) => {
    const { x, y, w, h } = panel.gridPos;
    const box = {
      x: GAP + x * cell,
      y: TOP + y * ROW_HEIGHT,
      w: w * cell - GAP,
      h: h * ROW_HEIGHT - GAP,
    };
    const lines = panel.type === 'row' ? [] : await queryPanel(prometheusUrl, panel, range);
    return drawPanel(panel, lines, box, range);
  });
  const height = TOP + Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * ROW_HEIGHT;
  const note =
    'Drawn by scripts/dashboard-picture.ts from the queries of ops/grafana/arrakis-path.json';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height + GAP}" width="${WIDTH}" font-family="Inter, Helvetica, Arial, sans-serif">`,
    rect({ x: 0, y: 0, w: WIDTH, h: height + GAP }, THEME.page),
    text(GAP, 30, title, { size: 20, weight: 600 }),
    text(GAP, 50, note, { size: 12, color: THEME.dim }),
    ...(await Promise.all(drawn)),
    '</svg>\n',
  ].join('\n');
}
