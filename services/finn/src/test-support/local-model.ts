import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { localModelDir } from '@arrakis/testkit';
import { findLocalModel } from '../features/providers/local/catalogue.domain.ts';

export const LOCAL_MODEL = 'smollm2-135m-instruct';

export const LOCAL_MODEL_DIR = localModelDir();

/** Tests of the real model are skipped without its file, and say so. */
export const HAS_LOCAL_MODEL = existsSync(
  join(LOCAL_MODEL_DIR, findLocalModel(LOCAL_MODEL)?.file ?? 'none'),
);

if (!HAS_LOCAL_MODEL) {
  process.stderr.write(
    `SKIPPED: tests of the local model, whose file is not in ${LOCAL_MODEL_DIR} (make model)\n`,
  );
}
