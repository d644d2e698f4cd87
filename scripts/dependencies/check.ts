import { runScript, say } from '../lib/entry.ts';
import { lockfileFaults } from './lockfile-rules.ts';
import { foreignEntries, readRepository } from './lockfile.ts';
import { POLICY } from './policy.ts';

/** Checks package-lock.json and the manifests against `policy.ts`. Needs no network. */
await runScript('dependencies', async () => {
  const repository = readRepository();
  const faults = lockfileFaults(repository, POLICY, new Date().toISOString().slice(0, 10));
  for (const fault of faults) say(fault);
  if (faults.length > 0) throw new Error(`${String(faults.length)} fault(s) in the dependencies`);
  say(
    `${String(foreignEntries(repository.lockfile).length)} locked packages, nothing to object to`,
  );
  await Promise.resolve();
});
