import type { AdvisoryException } from './policy.ts';

/** One published weakness that touches something we have installed. */
export interface Advisory {
  /** `GHSA-…`, or the registry's number where its address names none. */
  readonly id: string;
  readonly package: string;
  readonly severity: string;
  readonly title: string;
}

export type AuditVerdict =
  | {
      readonly kind: 'clean';
      readonly dependencies: number;
      /** Advisories that an exception covers. */
      readonly excepted: readonly Advisory[];
      /** Exceptions that cover nothing any more. */
      readonly stale: readonly string[];
    }
  | { readonly kind: 'vulnerable'; readonly advisories: readonly (Advisory & { why: string })[] }
  /** The registry didn't say: neither good nor bad is known. */
  | { readonly kind: 'unavailable'; readonly reason: string };

/** What `npm audit --json` prints (report version 2), as far as it is read here. */
interface AuditReport {
  readonly auditReportVersion: number;
  readonly vulnerabilities: Readonly<Record<string, { readonly via: readonly unknown[] }>>;
  readonly metadata: { readonly dependencies: { readonly total: number } };
}

/**
 * Judges the output of `npm audit --json`. Anything that isn't a whole report is `unavailable`:
 * silence of a registry is no clean bill.
 *
 * @param today `YYYY-MM-DD`; an exception counts up to and including its day
 */
export function auditVerdict(
  output: string,
  exceptions: readonly AdvisoryException[],
  today: string,
): AuditVerdict {
  const report = parse(output);
  if (!isReport(report)) return { kind: 'unavailable', reason: reasonOf(report) };
  const advisories = advisoriesOf(report);
  const open = advisories.flatMap((advisory) => {
    const exception = exceptions.find(({ id }) => id === advisory.id);
    if (exception === undefined) return [{ ...advisory, why: 'no exception' }];
    if (exception.until >= today) return [];
    return [{ ...advisory, why: `its exception ended on ${exception.until}` }];
  });
  if (open.length > 0) return { kind: 'vulnerable', advisories: open };
  const ids = new Set(advisories.map(({ id }) => id));
  return {
    kind: 'clean',
    dependencies: report.metadata.dependencies.total,
    excepted: advisories,
    stale: exceptions.map(({ id }) => id).filter((id) => !ids.has(id)),
  };
}

function parse(output: string): unknown {
  try {
    return JSON.parse(output);
  } catch {
    return undefined;
  }
}

function isReport(value: unknown): value is AuditReport {
  if (typeof value !== 'object' || value === null) return false;
  const report = value as Partial<AuditReport>;
  const total = report.metadata?.dependencies.total;
  return (
    report.auditReportVersion === 2 &&
    typeof report.vulnerabilities === 'object' &&
    // Nothing was looked at: that is no audit either.
    typeof total === 'number' &&
    total > 0
  );
}

function reasonOf(value: unknown): string {
  const { message, statusCode } = (value ?? {}) as { message?: unknown; statusCode?: unknown };
  // The message names the registry's address, which may hold credentials.
  if (typeof statusCode === 'number') return `the registry answered ${String(statusCode)}`;
  if (typeof message === 'string') return 'the registry could not be asked';
  return 'npm printed no report';
}

/** `via` names the packages through which it comes, and describes it only at its source. */
function advisoriesOf({ vulnerabilities }: AuditReport): Advisory[] {
  const found = new Map<string, Advisory>();
  for (const [name, { via }] of Object.entries(vulnerabilities)) {
    for (const source of via) {
      if (typeof source !== 'object' || source === null) continue;
      const advisory = toAdvisory(name, source);
      found.set(`${advisory.id} ${advisory.package}`, advisory);
    }
  }
  // A report that counts vulnerable packages and describes none must not pass for a clean one.
  if (found.size === 0 && Object.keys(vulnerabilities).length > 0) {
    return Object.keys(vulnerabilities).map((name) => toAdvisory(name, {}));
  }
  return [...found.values()];
}

function toAdvisory(name: string, source: object): Advisory {
  const { url = '', source: number, severity, title } = source as Record<string, unknown>;
  const id = /GHSA(?:-[0-9a-z]{4}){3}/.exec(String(url))?.[0] ?? `npm-${String(number)}`;
  return {
    id,
    package: name,
    severity: typeof severity === 'string' ? severity : 'unknown',
    title: typeof title === 'string' ? title : 'not described',
  };
}
