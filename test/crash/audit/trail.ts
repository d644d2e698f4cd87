import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { runVerifier } from '@arrakis/audit';
import { waitFor } from '@arrakis/testkit';
import type { Verdict, World } from '../types.ts';

export const TRAIL =
  'the audit trail has every entry and adjustment, and its verifier finds it whole and balanced';

const SEALED_WITHIN_MS = 30_000;

/** Exports the trail as an operator would, and has it recomputed from the file alone. */
export async function auditTrail(world: Pick<World, 'auditDb' | 'system'>): Promise<Verdict> {
  const file = join(tmpdir(), `arrakis-trail-${randomUUID()}.jsonl`);
  const said: string[] = [];
  try {
    await waitFor(async () => (await unsealed(world)) === 0, {
      timeoutMs: SEALED_WITHIN_MS,
      intervalMs: 200,
      what: 'a seal on every entry and adjustment',
    });
    await world.system.command('scripts/audit.ts', 'export', '--out', file);
    const say = (text: string): void => void said.push(text);
    const exitCode = await runVerifier([file], {
      stdin: process.stdin,
      print: say,
      complain: say,
    });
    const detail = said.join(' ').replaceAll(/\s+/g, ' ');
    return { invariant: TRAIL, ok: exitCode === 0, detail };
  } catch (error) {
    return { invariant: TRAIL, ok: false, detail: String(error) };
  } finally {
    await rm(file, { force: true });
  }
}

/** Entries and adjustments that no record of the trail tells of. */
async function unsealed({ auditDb }: Pick<World, 'auditDb'>): Promise<number> {
  const { rows } = await auditDb.query<{ waiting: bigint }>(
    `SELECT count(*) AS waiting
     FROM (SELECT 'entry' AS source, e.id FROM freeside.ledger_entries e
           UNION ALL SELECT 'adjustment', d.id FROM freeside.credit_lot_adjustments d) s
     WHERE NOT EXISTS
       (SELECT FROM freeside.audit_records r WHERE r.source = s.source AND r.source_id = s.id)`,
  );
  return Number(rows[0]?.waiting ?? -1n);
}
