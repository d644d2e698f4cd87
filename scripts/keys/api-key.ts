import type { Pool } from 'pg';
import type { ApiKeySummary } from '../../services/freeside/src/features/api-keys/api-key.domain.ts';
import {
  API_KEY_ENVIRONMENTS,
  isKeyPrefix,
} from '../../services/freeside/src/features/api-keys/api-key-format.domain.ts';
import {
  KeyManagementService,
  type IssuedKey,
  type KeyFlags,
  type KeyOwner,
  type KeyRefusal,
} from '../../services/freeside/src/features/api-keys/key-management.service.ts';
import {
  PepperError,
  parsePeppers,
  type Peppers,
} from '../../services/freeside/src/features/api-keys/pepper.domain.ts';
import { optionalSecretEnv } from '../lib/env.ts';
import { withFlags } from '../lib/flags.ts';
import { describeKey, keyJson, keyTable } from './api-key-output.ts';
import {
  EXIT,
  UsageError,
  integerFlag,
  parseFlags,
  runCommand,
  withDatabase,
  type ExitCode,
} from './command-line.ts';

const USAGE = `Usage: node scripts/keys/api-key.ts <command>

  create --community <slug> --user <id or name> [--env live|test] [--name <text>]
         [--rpm <requests a minute>] [--tpd <tokens a day>] [--json]
  list   [--community <slug> [--user <id or name>]] [--all] [--json]
  rotate <prefix or id> [--json]     revokes a key and makes its successor
  revoke <prefix or id> [--json]     effective within 2 seconds everywhere

Environment: DATABASE_URL (role freeside_app); create and rotate: API_KEY_PEPPER;
create: NATS_URL or FLAGS_DIR, to know whether it is switched off
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by a rule`;

const OPTIONS = {
  community: { type: 'string' },
  user: { type: 'string' },
  env: { type: 'string', default: 'live' },
  name: { type: 'string' },
  rpm: { type: 'string' },
  tpd: { type: 'string' },
  key: { type: 'string' },
  all: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

type Parsed = ReturnType<typeof parseFlags<typeof OPTIONS>>;

async function main(args: readonly string[]): Promise<ExitCode> {
  const parsed = parseFlags(args, OPTIONS);
  const [command, ...rest] = parsed.positionals;
  if (parsed.values.help || command === 'help') {
    console.log(USAGE);
    return EXIT.ok;
  }
  switch (command) {
    case 'create':
      none(rest);
      return create(parsed);
    case 'list':
      none(rest);
      return list(parsed);
    case 'rotate':
      return rotate(parsed, keyRef(parsed, rest));
    case 'revoke':
      return revoke(parsed, keyRef(parsed, rest));
    case undefined:
      throw new UsageError('Say what to do.');
    default:
      throw new UsageError('There is no such command.');
  }
}

function create({ values }: Parsed): Promise<ExitCode> {
  const environment = API_KEY_ENVIRONMENTS.find((known) => known === values.env);
  if (environment === undefined) throw new UsageError('--env is live or test');
  const { community: slug, user } = values;
  if (slug === undefined) throw new UsageError('--community says whose credits the key spends');
  if (user === undefined) throw new UsageError('--user says whose key it is');
  const requestsPerMinute = integerFlag('rpm', values.rpm);
  const tokensPerDay = integerFlag('tpd', values.tpd);
  const work = async (keys: KeyManagementService): Promise<ExitCode> => {
    const community = await keys.findCommunity(slug);
    if (!community.ok) return refused(community);
    const member = await keys.findMember(community.community, user);
    if (!member.ok) return refused(member);
    const issued = await keys.create({
      communityId: community.community.communityId,
      userId: member.member.userId,
      environment,
      name: values.name ?? `${environment} key`,
      requestsPerMinute,
      tokensPerDay,
    });
    return issued.ok ? showIssued(issued, values.json, 'Created') : refused(issued);
  };
  const peppers = requirePeppers();
  return withFlags((flags) => withKeys({ flags, peppers }, work));
}

function list({ values }: Parsed): Promise<ExitCode> {
  return withKeys({}, async (keys) => {
    const owner = await findOwner(keys, values.community, values.user);
    if (!owner.ok) return refused(owner);
    const found = await keys.list({ ...owner.filter, includeRevoked: values.all });
    console.log(values.json ? JSON.stringify(found.map(keyJson), null, 2) : keyTable(found));
    return EXIT.ok;
  });
}

/** Everybody's keys, a community's, or one user's. */
async function findOwner(
  keys: KeyManagementService,
  slug: string | undefined,
  user: string | undefined,
): Promise<{ readonly ok: true; readonly filter: KeyOwner } | KeyRefusal> {
  if (slug === undefined) {
    if (user === undefined) return { ok: true, filter: {} };
    throw new UsageError('--user needs --community: names are known within one community only');
  }
  const found = await keys.findCommunity(slug);
  if (!found.ok) return found;
  const { communityId } = found.community;
  if (user === undefined) return { ok: true, filter: { communityId } };
  const member = await keys.findMember(found.community, user);
  return member.ok ? { ok: true, filter: { communityId, userId: member.member.userId } } : member;
}

function rotate({ values }: Parsed, ref: string): Promise<ExitCode> {
  return withKeys({ peppers: requirePeppers() }, async (keys) => {
    const issued = await keys.rotate(ref);
    if (!issued.ok) return refused(issued);
    return showIssued(issued, values.json, 'Rotated: the old key stops within 2 seconds. Created');
  });
}

function revoke({ values }: Parsed, ref: string): Promise<ExitCode> {
  return withKeys({}, async (keys) => {
    const outcome = await keys.revoke(ref);
    if (!outcome.ok) return refused(outcome);
    if (values.json) console.log(JSON.stringify(keyJson(outcome.key), null, 2));
    else console.log(`Revoked ${nameOf(outcome.key)}. It stops within 2 seconds everywhere.`);
    return EXIT.ok;
  });
}

/** The one place that prints a key in clear, once. */
function showIssued(issued: IssuedKey, asJson: boolean, verb: string): ExitCode {
  if (asJson) {
    console.log(JSON.stringify({ ...keyJson(issued.key), api_key: issued.cleartext }, null, 2));
    return EXIT.ok;
  }
  console.log(`${verb} ${nameOf(issued.key)}.

  ${issued.cleartext}

This is the only time the key is shown: store it now, for example as ARRAKIS_API_KEY.
${describeKey(issued.key)}

Try it:
  curl -s http://127.0.0.1:3000/v1/models -H "Authorization: Bearer $ARRAKIS_API_KEY"
If it leaks: node scripts/keys/api-key.ts rotate ${issued.key.keyPrefix}`);
  return EXIT.ok;
}

function nameOf(key: ApiKeySummary): string {
  return `${key.keyPrefix} (${JSON.stringify(key.name)} of ${key.userName}, ${key.communitySlug})`;
}

const ADVICE: Readonly<Partial<Record<KeyRefusal['code'], string>>> = {
  feature_disabled:
    'An operator switched FEATURE_API_KEYS_ENABLED off. See: node scripts/flags.ts list',
  community_not_found: '`make up` seeds a demo community; its slug is printed there.',
  key_not_found: 'See the prefixes with: node scripts/keys/api-key.ts list',
  too_many_keys:
    'See them with: node scripts/keys/api-key.ts list --community <slug> --user <id>\n' +
    'then: node scripts/keys/api-key.ts revoke <prefix>',
};

function refused(refusal: KeyRefusal): ExitCode {
  console.error(`Refused: ${refusal.detail}.`);
  const advice = ADVICE[refusal.code];
  if (advice !== undefined) console.error(advice);
  return EXIT.refused;
}

/** A prefix or an id, as argument or as --key. A whole key is not taken: shells keep histories. */
function keyRef({ values }: Parsed, rest: readonly string[]): string {
  const [ref, ...more] = [...rest, ...(values.key === undefined ? [] : [values.key])];
  none(more);
  if (ref !== undefined && (isKeyPrefix(ref) || UUID.test(ref))) return ref;
  throw new UsageError(
    'Name the key by its prefix (lf_live_ or lf_test_ and 12 characters, without the secret) or id.',
  );
}

function none(rest: readonly string[]): void {
  if (rest.length > 0) throw new UsageError('There are more arguments than the command takes.');
}

function requirePeppers(): Peppers {
  try {
    return parsePeppers(optionalSecretEnv('API_KEY_PEPPER') ?? '');
  } catch (error) {
    if (!(error instanceof PepperError)) throw error;
    const hint =
      'It must be the value that freeside runs with (.arrakis/secrets.json after `make up`).';
    throw new UsageError(`${error.message}\n${hint}`, { cause: error });
  }
}

/** Only making a key asks for flags. */
const NO_FLAGS: KeyFlags = { isEnabled: () => false };

function withKeys(
  { peppers, flags = NO_FLAGS }: { readonly peppers?: Peppers; readonly flags?: KeyFlags },
  work: (keys: KeyManagementService) => Promise<ExitCode>,
): Promise<ExitCode> {
  return withDatabase('where the API keys are; role freeside_app', (pool: Pool) =>
    work(new KeyManagementService(pool, flags, peppers)),
  );
}

await runCommand(USAGE, () => main(process.argv.slice(2)));
