import { sleep } from 'k6';
import { metrics } from '../lib/metrics.ts';
import { get, jsonOf } from '../lib/target.ts';

const TIMEOUT_MS = 30_000;
const POLL_SECONDS = 0.1;
const OPEN = ['reserved', 'streaming'];

/** Waits for the receipt of an answer to be final and adds its charge to the books of the run. */
export function readReceipt(requestId: string): void {
  const endMs = Date.now() + TIMEOUT_MS;
  for (;;) {
    const response = get(`/api/v1/usage/${requestId}`, 'receipt');
    const { status, charge, hold } = jsonOf(response);
    if (response.status === 200 && typeof status === 'string' && !OPEN.includes(status)) {
      metrics.receiptSettled.add(status === 'finalized');
      metrics.receiptWithinHold.add(Number(charge) > 0 && Number(charge) <= Number(hold));
      metrics.booksDifference.add(Number(charge));
      return;
    }
    if (Date.now() >= endMs) {
      metrics.receiptSettled.add(false);
      return;
    }
    sleep(POLL_SECONDS);
  }
}
