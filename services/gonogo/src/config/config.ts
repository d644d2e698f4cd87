import type { Head } from '@arrakis/audit';
import type { Secret } from '@arrakis/service-kit';
import { parseGates } from '../arguments.domain.ts';
import { GATE_NAMES, type GateName } from '../gate.domain.ts';
import type { GonogoEnv } from './env.ts';

export interface GonogoConfig {
  readonly freesideUrl: string;
  readonly finnUrls: readonly string[];
  readonly adminUrls: readonly string[];
  /** To run unless the command line names others. */
  readonly gates: readonly GateName[];
  readonly answers: number;
  readonly deadlineMs: number;
  readonly cluster: ClusterConfig | undefined;
  readonly keyStoreDir: string | undefined;
  readonly prometheusUrl: string | undefined;
  readonly reportFile: string;
  readonly apiKey: Secret | undefined;
  readonly databaseUrl: Secret | undefined;
  readonly signingKey: Secret | undefined;
  /** Public ones. */
  readonly auditKeys: string | undefined;
  /** The head from which on the audit trail is verified; its beginning when undefined. */
  readonly auditAfter: Head | undefined;
}

export interface ClusterConfig {
  readonly release: string;
  readonly namespace: string | undefined;
  readonly components: readonly string[];
  readonly kubeconfig: string | undefined;
}

/** @throws Error for a list with something that is no URL, or no gate. */
export function toConfig(env: GonogoEnv): GonogoConfig {
  return Object.freeze({
    freesideUrl: onlyUrl('FREESIDE_URL', env.FREESIDE_URL),
    finnUrls: urlsOf('FINN_URL', env.FINN_URL),
    adminUrls: urlsOf('GONOGO_ADMIN_URLS', env.GONOGO_ADMIN_URLS),
    gates: gatesOf(env.GONOGO_GATES),
    answers: env.GONOGO_ANSWERS,
    deadlineMs: env.GONOGO_GATE_DEADLINE_MS,
    cluster: clusterOf(env),
    keyStoreDir: env.S2S_KEY_STORE_DIR,
    prometheusUrl: env.PROMETHEUS_URL,
    reportFile: env.GONOGO_REPORT_FILE,
    apiKey: env.GONOGO_API_KEY,
    databaseUrl: env.DATABASE_URL,
    signingKey: env.GONOGO_SIGNING_KEY,
    auditKeys: env.GONOGO_AUDIT_KEYS?.reveal(),
    auditAfter: env.GONOGO_AUDIT_AFTER === undefined ? undefined : headOf(env.GONOGO_AUDIT_AFTER),
  });
}

function headOf(text: string): Head {
  const [sequence = '', hash = ''] = text.split(':');
  return { sequence: BigInt(sequence), hash };
}

/** What must not appear in a report, whatever happens: the secrets and their parts. */
export function secretTexts(config: GonogoConfig): readonly string[] {
  const { apiKey, databaseUrl, signingKey } = config;
  const texts = [apiKey, databaseUrl, signingKey].flatMap((secret) =>
    secret === undefined ? [] : [secret.reveal()],
  );
  const password = databaseUrl === undefined ? undefined : passwordOf(databaseUrl.reveal());
  return [...texts, ...(password === undefined ? [] : [password])];
}

function passwordOf(url: string): string | undefined {
  const password = URL.canParse(url) ? decodeURIComponent(new URL(url).password) : '';
  // A short one would blacken half the report and be none worth hiding.
  return password.length < 6 ? undefined : password;
}

function gatesOf(text: string | undefined): readonly GateName[] {
  if (text === undefined) return GATE_NAMES;
  const gates = parseGates(text);
  if (typeof gates === 'string') throw new Error(`GONOGO_GATES: ${gates}`);
  return gates;
}

function clusterOf(env: GonogoEnv): ClusterConfig | undefined {
  if (env.GONOGO_RELEASE === undefined) return undefined;
  return {
    release: env.GONOGO_RELEASE,
    namespace: env.GONOGO_NAMESPACE,
    components: env.GONOGO_COMPONENTS.split(','),
    kubeconfig: env.KUBECONFIG,
  };
}

function onlyUrl(name: string, text: string): string {
  const [url, ...more] = urlsOf(name, text);
  if (url === undefined || more.length > 0) throw new Error(`${name}: expected one URL`);
  return url;
}

function urlsOf(name: string, text: string): readonly string[] {
  return text.split(',').map((part) => {
    const url = part.trim().replace(/\/+$/, '');
    if (!/^https?:/.test(url) || !URL.canParse(url)) throw new Error(`${name}: expected URLs`);
    return url;
  });
}
