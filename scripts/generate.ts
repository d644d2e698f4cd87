import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createLogger, createRegistry, describeEnv } from '@arrakis/service-kit';
import { FinnEnv } from '../services/finn/src/config/env.ts';
import { buildApp, type FreesideContext } from '../services/freeside/src/app.ts';
import { FreesideEnv } from '../services/freeside/src/config/env.ts';
import { createLedgerEvents } from '../services/freeside/src/features/ledger/events.ts';
import { createReservationEvents } from '../services/freeside/src/features/reservations/events.ts';
import { runScript, say } from './lib/entry.ts';

/** Writes what is made from code: `.env.example`, the API description. CI fails when it is stale. */

const ROOT = resolve(import.meta.dirname, '..');

function write(path: string, text: string): void {
  const file = resolve(ROOT, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  say(path);
}

function envExample(): string {
  return [
    `# Made by make generate from services/*/src/config/env.ts; do not edit.
# \`make up\` and \`make env\` set everything that is needed: this file is for looking things up.
`,
    describeEnv('freeside (roles api and worker)', FreesideEnv),
    describeEnv('finn', FinnEnv),
  ].join('\n');
}

/** The routes and schemas only; no service behind them is ever called. */
async function openApi(): Promise<string> {
  const context = {
    logger: createLogger({ service: 'generate', level: 'silent' }),
    registry: createRegistry('generate'),
    isDraining: () => false,
    trustedProxies: undefined,
  } as unknown as FreesideContext;
  const app = await buildApp(context);
  await app.ready();
  const document = JSON.stringify(app.swagger(), null, 2);
  await app.close();
  return `${document}\n`;
}

/** Name, type, labels and help of the metrics that the reservation and ledger slices expose. */
async function ledgerMetrics(): Promise<string> {
  const registry = createRegistry('generate');
  registry.clear();
  const logger = createLogger({ service: 'generate', level: 'silent' });
  createReservationEvents(registry, logger);
  createLedgerEvents(registry, logger);
  const rows = (await registry.getMetricsAsJSON())
    .map(({ name, type, help }) => `| \`${name}\` | ${String(type)} | ${help} |`)
    .sort();
  return `# Metrics of the ledger

Made by \`make generate\`. Every process also exposes the default metrics of prom-client and
\`http_requests_total\`, \`http_request_duration_seconds\` on its admin port.

| name | type | what |
| --- | --- | --- |
${rows.join('\n')}
`;
}

await runScript('generate', async () => {
  write('.env.example', envExample());
  write('docs/generated/openapi.json', await openApi());
  write('docs/generated/metrics.md', await ledgerMetrics());
});
