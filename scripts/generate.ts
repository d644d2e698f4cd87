import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createLogger, createRegistry, describeEnv } from '@arrakis/service-kit';
import { ControllerEnv } from '../services/controller/src/config/env.ts';
import { FinnEnv } from '../services/finn/src/config/env.ts';
import { buildApp, type FreesideContext } from '../services/freeside/src/app.ts';
import { FreesideEnv } from '../services/freeside/src/config/env.ts';
import { GonogoEnv } from '../services/gonogo/src/config/env.ts';
import { runScript, say } from './lib/entry.ts';
import { metricsDocument } from './lib/metrics-document.ts';

/** Writes what is made from code: `.env.example`, the API description, the list of metrics. CI fails when it is stale. */

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
    describeEnv('controller', ControllerEnv),
    describeEnv('gonogo', GonogoEnv),
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

await runScript('generate', async () => {
  write('.env.example', envExample());
  write('docs/generated/openapi.json', await openApi());
  write('docs/generated/metrics.md', metricsDocument());
});
