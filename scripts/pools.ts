import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { requiredEnv } from './lib/env.ts';
import { runScript, say } from './lib/entry.ts';
import { writeWhole } from './lib/files.ts';
import { LOCAL_MODEL } from './lib/local-model.ts';
import { choosePools } from './lib/pools.ts';

/** Writes finn's pool file from the environment: see docker-compose.yml. */
await runScript('pools', async () => {
  const file = requiredEnv('FINN_POOLS_FILE', 'where the pool file goes');
  const modelDir = requiredEnv('MODEL_DIR', 'where the local model may be');
  const choice = await choosePools(existsSync(join(modelDir, LOCAL_MODEL.file)));
  writeWhole(file, choice.file);
  say(`answers come from ${choice.label}`);
  if (choice.isCanned) {
    say('no model: set OPENAI_API_KEY (or another provider) in .env, or run make model first');
  }
});
