import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { runScript, say } from './lib/entry.ts';
import { writeWhole } from './lib/files.ts';

const ROOT = resolve(import.meta.dirname, '..');
const FILE = resolve(ROOT, '.env');

/** Safe in a URL, in YAML, in a shell without quoting, and as the value of a command's option. */
function password(): string {
  return randomBytes(24).toString('hex');
}

function text(): string {
  return `# For docker compose. Made by make env: random, for this machine only, never to be committed.
POSTGRES_PASSWORD=${password()}
MIGRATOR_PASSWORD=${password()}
FREESIDE_APP_PASSWORD=${password()}
LOA_FINN_RO_PASSWORD=${password()}
REDIS_PASSWORD=${password()}
NATS_PASSWORD=${password()}
API_KEY_PEPPER=1:${randomBytes(32).toString('base64')}

# Where credits are bought: the fake vendor, which takes no money and which the profile \`demo\` starts.
# For NOWPayments itself: its key and secret, your public address, and no NOWPAYMENTS_BASE_URL.
FAKE_NOWPAYMENTS_PORT=18080
NOWPAYMENTS_BASE_URL=http://fake-nowpayments:\${FAKE_NOWPAYMENTS_PORT}
NOWPAYMENTS_API_KEY=${password()}
NOWPAYMENTS_IPN_SECRET=${password()}
FREESIDE_PUBLIC_URL=http://freeside-api:3000

# Which model answers. Without any of these: the local model if .arrakis/models has it (make model),
# else a canned text.
#OPENAI_API_KEY=
#OPENAI_BASE_URL=
#OPENAI_MODEL=
#ANTHROPIC_API_KEY=
#OLLAMA_HOST=host.docker.internal:11434
#OLLAMA_MODEL=

# Ports on this machine.
#FREESIDE_PORT=3000
#FINN_PORT=3001
`;
}

/** `make env`: a file that exists is somebody's and stays as it is. */
await runScript('env', () => {
  // Mounted by compose: where it is missing, the engine would make it, and make it root's.
  mkdirSync(resolve(ROOT, '.arrakis', 'models'), { recursive: true });
  if (existsSync(FILE)) {
    say('.env is there already; nothing was changed.');
  } else {
    writeWhole(FILE, text());
    say(
      '.env written, readable by you only. Next: docker compose --profile demo up --build --wait',
    );
  }
  return Promise.resolve();
});
