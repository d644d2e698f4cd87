import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { drawDashboard } from './dashboard/picture.ts';
import { playScenes } from './dashboard/play.ts';
import { keepBuying } from './dashboard/purchases.ts';
import { onStage } from './dashboard/stage.ts';
import { keepAsking, scriptVendors } from './dashboard/traffic.ts';
import { runScript, say } from './lib/entry.ts';

/**
 * Draws the dashboard of `ops/grafana` from a real Prometheus: from the one at `--prometheus`, or
 * from one that scrapes a system of its own under traffic and accidents for `--minutes`.
 */

/** One scrape. */
const STEP_SECONDS = 10;
const WARM_UP_MS = 60_000;

await runScript('dashboard-picture', async () => {
  const { values } = parseArgs({
    options: {
      prometheus: { type: 'string' },
      minutes: { type: 'string', default: '8' },
      out: { type: 'string', default: 'docs/images/dashboard.svg' },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 600)) throw new Error('--minutes is between 0 and 600');
  const svg =
    values.prometheus === undefined
      ? await playAndDraw(minutes)
      : await drawLast(values.prometheus, minutes);
  await writeFile(resolve(values.out), svg);
  say(`${values.out}: ${Math.round(svg.length / 1024)} KiB`);
});

function drawLast(prometheusUrl: string, minutes: number): Promise<string> {
  const toSeconds = Math.floor(Date.now() / 1000);
  const fromSeconds = toSeconds - minutes * 60;
  return drawDashboard(prometheusUrl, { fromSeconds, toSeconds, stepSeconds: STEP_SECONDS });
}

async function playAndDraw(minutes: number): Promise<string> {
  return onStage(async (stage) => {
    scriptVendors(stage);
    const stop = new AbortController();
    const asking = [keepAsking(stage, stop.signal), keepBuying(stage, stop.signal)];
    // The first rates need some scrapes behind them.
    await pause(WARM_UP_MS);
    await playScenes(stage, minutes * 60_000, say);
    const svg = await drawLast(stage.prometheusUrl, minutes);
    stop.abort();
    await Promise.all(asking);
    return svg;
  });
}
