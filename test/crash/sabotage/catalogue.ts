import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { ANSWERED_ONCE, REPORTED } from '../audit/carriers.ts';
import { CHARGED_ONCE } from '../audit/charges.ts';
import { CONSERVATION, OVERDRAFT, TERMINAL, VIEWS } from '../audit/equations.ts';
import { MINTED_ONCE, NOTICES_KEPT } from '../audit/payments.ts';
import { DURING_LOAD } from '../audit/snapshot.ts';
import type { Sabotage } from '../types.ts';

/**
 * Guards of the product, each taken out alone. The last lines of defence behind a guard (a check on
 * balances, a unique key) go with it: they would turn the wrong into an error, and what has to be
 * seen is that the audit finds the wrong.
 */
export const SABOTAGES: Readonly<Record<string, Sabotage>> = {
  'settlement-idempotence': {
    what: 'a settlement is applied again each time that a carrier brings it',
    sql: [
      without('accounts', 'accounts_balance_sign'),
      without('spend_events', 'spend_events_budget_reservation_id_key'),
      without('credit_lot_allocations', 'credit_lot_allocations_pkey'),
      replaced('settle_reservations', {
        fragment: 'WHERE b.finalized_at IS NULL AND b.released_at IS NULL AND CASE i.action',
        replacement: `WHERE (i.action = 'settle' OR b.finalized_at IS NULL AND b.released_at IS NULL) AND CASE i.action`,
      }),
      replaced('settle_one', {
        fragment: 'WHERE b.id = of_id AND b.finalized_at IS NULL AND b.released_at IS NULL;',
        replacement: `WHERE b.id = of_id AND (action = 'settle' OR b.finalized_at IS NULL AND b.released_at IS NULL);`,
      }),
      toldAgain('settle'),
    ],
    breaks: [TERMINAL, CHARGED_ONCE],
  },
  'balance-check': {
    what: 'a batch accepts holds whether or not the balance covers them',
    sql: [
      without('accounts', 'accounts_balance_sign'),
      replaced('hold_reservations', {
        fragment: 'WHEN a_balance[a] < need THEN',
        replacement: 'WHEN false THEN',
      }),
      replaced('hold_one', {
        fragment: 'WHEN available_micro < required_micro THEN',
        replacement: 'WHEN false THEN',
      }),
    ],
    breaks: [OVERDRAFT, DURING_LOAD],
  },
  'ack-after-commit': {
    what: 'the worker acknowledges a usage event before its settlement has committed',
    env: { worker: hooked('ack-after-commit') },
    breaks: [REPORTED],
  },
  'orphan-guard': {
    what: 'the orphan job gives back what a settlement has ended since the job looked',
    sql: [
      without('accounts', 'accounts_balance_sign'),
      replaced('settle_reservations', {
        fragment: 'WHERE b.finalized_at IS NULL AND b.released_at IS NULL AND CASE i.action',
        replacement: `WHERE (i.action = 'orphan' OR b.finalized_at IS NULL AND b.released_at IS NULL) AND CASE i.action`,
      }),
      toldAgain('orphan'),
      replaced('settle_reservations', {
        fragment: `WHEN 'orphan' THEN b.status = 'reserved' AND`,
        replacement: `WHEN 'orphan' THEN`,
      }),
    ],
    breaks: [TERMINAL, VIEWS, CONSERVATION, CHARGED_ONCE],
  },
  'mint-guard': {
    what: 'a payment is credited each time that it is said to have finished',
    sql: [
      without('crypto_payments', 'crypto_payments_credits_mint_event_id_key'),
      replaced('mint_payment', {
        fragment: `'payment:' || p.id, remaining, remaining`,
        replacement: `'payment:' || p.id || ':' || gen_random_uuid(), remaining, remaining`,
      }),
      // Decided on what stood before the other one was applied, and applied all the same.
      replaced('apply_payment_decision', {
        fragment: 'IF p.id IS NULL OR p.version <> seen_version THEN',
        replacement: 'IF p.id IS NULL THEN',
      }),
      replaced('advance_payment', {
        fragment: 'WHERE t.from_status = p.status AND t.to_status = new_status',
        replacement: 'WHERE true',
      }),
      replaced('advance_payment', {
        fragment: `IF new_status = 'finished' AND p.credits_minted_at IS NULL THEN`,
        replacement: `IF new_status = 'finished' THEN`,
      }),
      replaced('mint_payment', {
        fragment: 'WHERE c.id = p.id AND c.credits_minted_at IS NULL;',
        replacement: 'WHERE c.id = p.id;',
      }),
    ],
    breaks: [MINTED_ONCE],
  },
  'answer-before-commit': {
    what: 'an api answers a notice before what it means has committed',
    env: { api: hooked('answer-before-commit') },
    breaks: [NOTICES_KEPT],
  },
  'replay-guard': {
    what: 'finn serves a token and a reservation as often as they come',
    env: { finn: hooked('replay-guard') },
    breaks: [ANSWERED_ONCE],
  },
};

function hooked(name: string): Readonly<Record<string, string>> {
  const hook = pathToFileURL(join(import.meta.dirname, 'hook.ts')).href;
  return { NODE_OPTIONS: `--import=${hook}`, CRASH_SABOTAGE: name };
}

/** What has been told before comes through to the settlement, as if it had not been. */
function toldAgain(action: 'settle' | 'orphan'): string {
  return replaced('apply_ledger_batch', {
    fragment: 'WHERE (b.finalized_at IS NULL AND b.released_at IS NULL)',
    replacement: `WHERE u.action = '${action}' OR (b.finalized_at IS NULL AND b.released_at IS NULL)`,
  });
}

function without(table: string, constraint: string): string {
  return `ALTER TABLE freeside.${table} DROP CONSTRAINT ${constraint}`;
}

/** Changes one place of a function as it stands in the database; fails unless it is there once. */
function replaced(
  name: string,
  { fragment, replacement }: { readonly fragment: string; readonly replacement: string },
): string {
  return `DO $sabotage$
DECLARE
  definition text := pg_get_functiondef('freeside.${name}'::regproc);
  fragment text := $fragment$${fragment}$fragment$;
BEGIN
  IF length(definition) - length(replace(definition, fragment, '')) <> length(fragment) THEN
    RAISE EXCEPTION 'freeside.${name} has not exactly one "%"', fragment;
  END IF;
  EXECUTE replace(definition, fragment, $replacement$${replacement}$replacement$);
END
$sabotage$`;
}
