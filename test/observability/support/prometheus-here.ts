import { MissingToolError, locatePrometheus, type PrometheusBinaries } from '@arrakis/testkit';

/**
 * Prometheus's programs, or `undefined` on a machine that has none and no way to get them. In CI
 * that is a failure: what is skipped there is never looked at.
 */
export async function prometheusHere(): Promise<PrometheusBinaries | undefined> {
  const onProgress = (line: string): boolean => process.stderr.write(`[prometheus] ${line}\n`);
  try {
    return await locatePrometheus({ onProgress });
  } catch (error) {
    if (!(error instanceof MissingToolError) || process.env.CI === 'true') throw error;
    process.stderr.write(`\nSKIPPED, the rules are not tested: ${error.message}\n\n`);
    return undefined;
  }
}
