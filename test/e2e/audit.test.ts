import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MODELS, call, startPlatform, type Platform } from './support/platform.ts';

let platform: Platform;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'arrakis-audit-'));
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keyFile = join(dir, 'audit-key.pem');
  await writeFile(keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  await writeFile(join(dir, 'public.pem'), publicKey.export({ format: 'pem', type: 'spki' }));
  platform = await startPlatform({ worker: { AUDIT_SIGNING_KEY_FILE: keyFile } });
}, 180_000);
afterAll(async () => {
  await platform.stop();
  await rm(dir, { recursive: true, force: true });
});

async function answer(): Promise<void> {
  platform.vendor.script(MODELS.cheap, { steps: ['Spice'] });
  const response = await call(platform, '/v1/chat/completions', {
    model: 'market-scout',
    messages: [{ role: 'user', content: 'Hello' }],
    max_completion_tokens: 16,
  });
  expect(response.status).toBe(200);
  await response.text();
}

/** Once everything that was held is settled, sealed and signed. */
async function allSealed(): Promise<void> {
  const isSealed = async (): Promise<boolean> => {
    const { rows } = await platform.db.query<{ waiting: boolean }>(
      `SELECT EXISTS (SELECT FROM freeside.budget_reservations WHERE status IN ('reserved', 'streaming'))
         OR EXISTS (SELECT FROM freeside.ledger_entries e WHERE NOT EXISTS
              (SELECT FROM freeside.audit_records r WHERE r.source = 'entry' AND r.source_id = e.id))
         OR NOT EXISTS (SELECT FROM freeside.audit_signatures s
              WHERE s.sequence = (SELECT max(sequence) FROM freeside.audit_checkpoints)) AS waiting`,
    );
    return rows[0]?.waiting === false;
  };
  // The jobs sleep for seconds between their runs, and a loaded machine takes its time.
  await waitFor(isSealed, { timeoutMs: 60_000, what: 'a signature over everything sealed' });
}

describe('the audit trail of the running system', () => {
  it('is sealed, signed, exported and verified, also after its worker was killed', async () => {
    await answer();
    await allSealed();
    await platform.services.worker.kill('SIGKILL');
    await answer();
    await platform.restart('worker');
    await allSealed();

    const file = join(dir, 'trail.jsonl');
    await platform.command('scripts/audit.ts', 'export', '--out', file);
    const verify = ['verify', '--require-signature', '--key', join(dir, 'public.pem'), file];
    const said = await platform.command('scripts/audit.ts', ...verify);
    expect(said).toMatch(/^intact: \d+ records/);
    expect(said).toContain('all valid');
    const kinds = (await readFile(file, 'utf8')).match(/"kind":"[a-z_]+"/g);
    expect(new Set(kinds)).toEqual(
      new Set(['"kind":"mint"', '"kind":"hold"', '"kind":"capture"', '"kind":"release"']),
    );
    const metrics = await (await fetch(`${platform.adminUrls.worker}/metrics`)).text();
    expect(metrics).toMatch(/^freeside_audit_broken\{[^}]*\} 0$/m);
    expect(metrics).toMatch(/^freeside_audit_signed_sequence\{[^}]*\} [1-9]/m);
  });
});
