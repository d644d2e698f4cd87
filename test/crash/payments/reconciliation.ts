import { createLogger, createRegistry } from '@arrakis/service-kit';
import type { Pool } from 'pg';
import { createPaymentEvents } from '../../../services/freeside/src/features/payments/events.ts';
import { PaymentIntake } from '../../../services/freeside/src/features/payments/intake.service.ts';
import { NowPaymentsClient } from '../../../services/freeside/src/features/payments/nowpayments.client.ts';
import { PaymentReconciliation } from '../../../services/freeside/src/features/payments/reconcile.service.ts';
import type { World } from '../types.ts';

const VENDOR_TIMEOUT_MS = 10_000;

/** The worker's own, with a round that is due now, and as if no other worker could be at it. */
export function reconciliationOf({
  auditDb: db,
  shop,
}: Pick<World, 'auditDb' | 'shop'>): Pick<PaymentReconciliation, 'run' | 'measure'> {
  const logger = createLogger({ service: 'crash-test', level: 'silent' });
  const events = createPaymentEvents(createRegistry('crash-test'), logger);
  const reconciliation = new PaymentReconciliation({
    db,
    events,
    intake: new PaymentIntake({ db, events }),
    vendor: new NowPaymentsClient({
      baseUrl: shop.vendor.url,
      apiKey: shop.env.NOWPAYMENTS_API_KEY ?? '',
      timeoutMs: VENDOR_TIMEOUT_MS,
      events,
    }),
    sweeps: false,
    exclusively: async (work) => {
      await work(new AbortController().signal);
      return true;
    },
  });
  return {
    run: async () => {
      await makeRoundDue(db);
      return reconciliation.run();
    },
    measure: () => reconciliation.measure(),
  };
}

/** Whatever pause the vendor has asked for. */
export async function makeRoundDue(db: Pool): Promise<void> {
  await db.query(`UPDATE freeside.payment_poll_pace SET due_at = '-infinity'`);
}

/** Beyond the quarter of an hour after which a quiet payment is asked about. */
const BEYOND_MINUTES = 20;

/** Ages what has no final status, so that it is asked about now, by whoever comes first. */
export async function ageOpenPayments(db: Pool): Promise<void> {
  await db.query(
    `UPDATE freeside.crypto_payments SET created_at = created_at - make_interval(mins => $1)
     WHERE status_rank < 5`,
    [BEYOND_MINUTES],
  );
  await makeRoundDue(db);
}
