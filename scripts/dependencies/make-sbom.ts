import { readRepository } from './lockfile.ts';
import { npm } from './npm.ts';
import { POLICY } from './policy.ts';
import { narrowed, parseSbom, sbomFaults, shippedPackages, type Sbom } from './sbom-rules.ts';

/** What the image is made of: see the installation in the Dockerfile. */
const SHIPPED = ['services/freeside', 'services/finn'];

/**
 * The SBOM (CycloneDX) of what is shipped: made by npm, narrowed by the lockfile, checked against it.
 *
 * `npm sbom --omit dev` can't be used: it leaves out what a service needs if the repository's own
 * development needs it as well, such as `pg`.
 *
 * @throws Error that lists what is wrong with it.
 */
export async function makeSbom(): Promise<Sbom> {
  const args = ['--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'];
  const made = await npm(['sbom', ...args]);
  if (made.exitCode !== 0) throw new Error(`npm could not make it:\n${made.stderr}`);
  const shipped = shippedPackages(readRepository().lockfile, SHIPPED);
  const sbom = narrowed(parseSbom(made.stdout), shipped);
  const faults = sbomFaults(sbom, shipped, POLICY);
  if (faults.length > 0) throw new Error(`the SBOM is not right:\n${faults.join('\n')}`);
  return sbom;
}
