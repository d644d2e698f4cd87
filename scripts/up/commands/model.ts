import { PlainError } from '../../lib/plain-error.ts';
import type { Report } from '../report.ts';
import { makeFolders, type Folders } from '../stack.ts';
import { withLock } from '../state.ts';
import { ensureModel } from '../steps/model.ts';

/** Fetches the local model alone: for docker compose, which mounts `.arrakis/models`. */
export async function model(folders: Folders, report: Report): Promise<void> {
  makeFolders(folders);
  await withLock(folders, async () => {
    const found = await report.step('model', (progress) => ensureModel(folders, progress));
    if (!found.isThere) throw new PlainError(`The model could not be fetched: ${found.why}`);
  });
}
