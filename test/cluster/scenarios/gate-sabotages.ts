import { generateKeyPairSync } from 'node:crypto';
import { waitFor } from '@arrakis/testkit';
import type { GateName } from '../../../services/gonogo/src/gate.domain.ts';
import type { Platform } from '../lib/platform.ts';
import { must } from '../lib/scenario.ts';

export interface Sabotage {
  readonly gate: GateName;
  readonly what: string;
  /** What the gate must give as its reason. */
  readonly reason: RegExp;
  /** What the gate needs to be green at all. @returns how it is taken back in the end. */
  readonly prepare?: (platform: Platform) => Promise<() => Promise<unknown>>;
  /** @param later takes what mends it, the last first, as soon as there is something to mend */
  readonly breakIt: (
    platform: Platform,
    later: (undo: () => Promise<unknown>) => void,
  ) => Promise<void>;
}

const ROLLOUT_MS = 240_000;

/**
 * One for each gate that is built. `monitoring` has none here: without a Prometheus in the cluster it
 * is inconclusive to begin with; `test/gonogo/monitoring.test.ts` has its sabotages.
 */
export const SABOTAGES: readonly Sabotage[] = [
  {
    gate: 'health',
    what: 'finn being away',
    reason: /finn has no ready replica/,
    breakIt: (platform, later) => scaleAway(platform, 'statefulset', 'finn', later),
  },
  {
    gate: 'auth',
    what: 'the signing key having been taken out of the key set',
    reason: /the active key \S+ is not served/,
    breakIt: expireSigningKey,
  },
  {
    gate: 'inference',
    what: 'a pool whose model is gone',
    reason: /standard: .*answered instead/,
    breakIt: async (platform, later) => {
      const gone = {
        targets: [
          {
            name: 'gone',
            provider: 'openai-compatible',
            model: 'gone',
            baseUrl: 'http://127.0.0.1:9/v1',
          },
        ],
      };
      later(() => rollBack(platform));
      await upgrade(platform, '--set-json', `finn.config.pools.standard=${JSON.stringify(gone)}`);
    },
  },
  {
    gate: 'billing',
    what: 'books that were bent by one micro-credit',
    reason: /the books: .* is off by -?1/,
    breakIt: async (platform, later) => {
      later(() => straightenBooks(platform));
      await bendBooks(platform);
    },
  },
  {
    gate: 'platform',
    what: 'a revoked API key',
    reason: /\/v1\/models: 401/,
    breakIt: async (platform, later) => {
      const rows = await platform.sql(
        `SELECT key_prefix FROM freeside.api_keys WHERE name = 'demo key' AND is_active`,
      );
      const [[prefix = ''] = []] = rows;
      must(rows.length === 1, `there are ${rows.length} keys to revoke, not one`);
      later(() =>
        platform.sql(
          `UPDATE freeside.api_keys SET is_active = true, revoked_at = NULL WHERE key_prefix = '${prefix}'`,
        ),
      );
      await platform.sql(
        `UPDATE freeside.api_keys SET is_active = false, revoked_at = now() WHERE key_prefix = '${prefix}'`,
      );
    },
  },
  {
    gate: 'rollback',
    what: 'a cluster that no longer takes the previous revision',
    reason: /Deployment arrakis-freeside-worker: 422 .*era is required/,
    prepare: async (platform) => {
      await upgrade(platform, '--set-string', 'freesideWorker.podAnnotations.era=new');
      return () => rollBack(platform);
    },
    breakIt: forbidPrevious,
  },
];

async function upgrade(platform: Platform, ...settings: string[]): Promise<void> {
  const [release = '', chart = ''] = platform.helmArgs();
  await platform.kube.helm(
    ['upgrade', release, chart, '--reuse-values', ...settings, '--wait', '--timeout', '4m'],
    { timeoutMs: ROLLOUT_MS + 10_000 },
  );
}

function rollBack({ kube, release }: Platform): Promise<string> {
  return kube.helm(['rollback', release, '--wait', '--timeout', '4m'], {
    timeoutMs: ROLLOUT_MS + 10_000,
  });
}

/** Scales a component to nothing and waits until it is gone. */
async function scaleAway(
  { kube, release }: Platform,
  kind: 'deployment' | 'statefulset',
  component: string,
  later: (undo: () => Promise<unknown>) => void,
): Promise<void> {
  const target = `${kind}/${release}-${component}`;
  const scale = (replicas: number) => kube.kubectl(['scale', target, `--replicas=${replicas}`]);
  const { spec } = await kube.get<{ spec: { replicas: number } }>(target);
  later(async () => {
    await scale(spec.replicas);
    await kube.kubectl(['rollout', 'status', target, '--timeout=180s'], { timeoutMs: ROLLOUT_MS });
  });
  await scale(0);
  const pods = `app.kubernetes.io/component=${component}`;
  await waitFor(async () => (await kube.list('pods', '-l', pods)).length === 0, {
    timeoutMs: ROLLOUT_MS,
    intervalMs: 500,
    what: `${component} is gone`,
  });
}

/**
 * freeside signs with a key whose public half has expired, while another is served: what comes of
 * retiring a key before its successor signs. Without the controller, which would put it right.
 */
async function expireSigningKey(
  platform: Platform,
  later: (undo: () => Promise<unknown>) => void,
): Promise<void> {
  await scaleAway(platform, 'deployment', 'controller', later);
  const [[kid = '', expiresAt = ''] = []] = await platform.sql(
    `SELECT kid, expires_at FROM freeside.s2s_jwks_public_keys ORDER BY expires_at DESC LIMIT 1`,
  );
  const { x = '', y = '' } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
  }).publicKey.export({ format: 'jwk' });
  later(() =>
    platform.sql(
      `BEGIN;
       DELETE FROM freeside.s2s_jwks_public_keys WHERE kid = 'somebody-else';
       UPDATE freeside.s2s_jwks_public_keys SET expires_at = '${expiresAt}' WHERE kid = '${kid}';
       COMMIT`,
    ),
  );
  await platform.sql(
    `BEGIN;
     UPDATE freeside.s2s_jwks_public_keys SET expires_at = now()
      WHERE expires_at > now() AND kid <> 'somebody-else';
     INSERT INTO freeside.s2s_jwks_public_keys (kid, kty, crv, x, y, expires_at)
       VALUES ('somebody-else', 'EC', 'P-256', '${x}', '${y}', now() + interval '1 hour')
       ON CONFLICT (kid) DO NOTHING;
     COMMIT`,
  );
}

const BENT = 'EXISTS (SELECT FROM freeside.conservation_full WHERE drift_micro <> 0)';

/** Two balances against each other: each by itself looks right. Only books that are straight. */
function bendBooks(platform: Platform): Promise<unknown> {
  return platform.sql(`${moveInBooks(1)} AND NOT ${BENT}`);
}

/** Only books that are bent: money may have moved since, so the old balances can't be put back. */
function straightenBooks(platform: Platform): Promise<unknown> {
  return platform.sql(`${moveInBooks(-1)} AND ${BENT}`);
}

function moveInBooks(by: 1 | -1): string {
  return `UPDATE freeside.accounts
        SET balance_micro = balance_micro + CASE kind WHEN 'spent' THEN ${by} ELSE ${-by} END
      WHERE kind IN ('spent', 'minted')
        AND community_id = (SELECT id FROM freeside.communities WHERE slug = 'demo')`;
}

/** A rule of the cluster's that came after the previous revision. */
async function forbidPrevious(
  { kube, release }: Platform,
  later: (undo: () => Promise<unknown>) => void,
): Promise<void> {
  const name = `${kube.namespace}-era`;
  const worker = `deployment/${release}-freeside-worker`;
  // Reads as a removal of what the upgrade brought: the way back in one field.
  const back = { spec: { template: { metadata: { annotations: { era: null } } } } };
  const isForbidden = () =>
    kube
      .kubectl([
        ...['patch', worker, '--dry-run=server', '--type', 'merge', '-p', JSON.stringify(back)],
      ])
      .then(
        () => false,
        (error: unknown) => String(error).includes('era is required'),
      );
  const settle = (forbidden: boolean) =>
    waitFor(async () => (await isForbidden()) === forbidden, {
      timeoutMs: 60_000,
      intervalMs: 500,
      what: `the previous revision is ${forbidden ? 'forbidden' : 'allowed'}`,
    });
  later(async () => {
    for (const kind of ['validatingadmissionpolicybinding', 'validatingadmissionpolicy']) {
      await kube.kubectl(['delete', kind, name, '--ignore-not-found']);
    }
    await settle(false);
  });
  for (const object of eraPolicy(name, kube.namespace)) await kube.apply(object);
  await settle(true);
}

function eraPolicy(name: string, namespace: string): readonly object[] {
  const apiVersion = 'admissionregistration.k8s.io/v1';
  return [
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name },
      spec: {
        matchConstraints: {
          resourceRules: [
            {
              apiGroups: ['apps'],
              apiVersions: ['v1'],
              operations: ['UPDATE'],
              resources: ['deployments'],
            },
          ],
        },
        matchConditions: [
          { name: 'worker', expression: "object.metadata.name.endsWith('-freeside-worker')" },
        ],
        validations: [
          {
            expression: "object.spec.template.metadata.?annotations[?'era'].hasValue()",
            message: 'the annotation era is required',
          },
        ],
      },
    },
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name },
      spec: {
        policyName: name,
        validationActions: ['Deny'],
        matchResources: {
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        },
      },
    },
  ];
}
