import { runScript, say } from '../lib/entry.ts';
import { auditVerdict, type AuditVerdict } from './audit-verdict.ts';
import { npm } from './npm.ts';
import { POLICY } from './policy.ts';

/**
 * `npm audit` of everything in the lockfile, judged with the exceptions of `policy.ts`.
 *
 * Exit codes: 0 clean or explained, 1 vulnerable, 2 the audit could not be made.
 */
const EXIT_UNAVAILABLE = 2;

await runScript('audit', async () => {
  const { stdout } = await npm(['audit', '--json', '--package-lock-only']);
  const verdict = auditVerdict(stdout, POLICY.advisories, new Date().toISOString().slice(0, 10));
  report(verdict);
  if (verdict.kind === 'vulnerable') process.exitCode = 1;
  if (verdict.kind === 'unavailable') process.exitCode = EXIT_UNAVAILABLE;
});

function report(verdict: AuditVerdict): void {
  switch (verdict.kind) {
    case 'clean':
      say(`${String(verdict.dependencies)} packages audited, no open advisory.`);
      for (const { id, package: name } of verdict.excepted) say(`  explained: ${id} (${name})`);
      for (const id of verdict.stale) say(`  its exception can go: ${id}`);
      return;
    case 'vulnerable':
      for (const { id, package: name, severity, title, why } of verdict.advisories) {
        say(`${severity}: ${name}: ${title} (${id}; ${why})`);
      }
      say('Update what is concerned, or explain it in scripts/dependencies/policy.ts.');
      return;
    case 'unavailable':
      say(`THE AUDIT COULD NOT BE MADE: ${verdict.reason}.`);
      say(
        'Nothing is known about weaknesses of the packages: this is not a pass. Run it where the',
      );
      say('npm registry offers audits.');
  }
}
