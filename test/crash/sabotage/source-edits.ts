/** One exact place of one source file, and what stands there instead. */
export interface SourceEdit {
  /** The end of its path. */
  readonly file: string;
  readonly fragment: string;
  readonly replacement: string;
}

/** By the name of the sabotage. */
export const SOURCE_EDITS: Readonly<Record<string, SourceEdit>> = {
  'ack-after-commit': {
    file: 'services/freeside/src/features/reservations/usage.consumer.ts',
    fragment: 'const result = await this.#options.settle(toSettlement(event));',
    replacement: 'message.ack(); const result = await this.#options.settle(toSettlement(event));',
  },
  'answer-before-commit': {
    file: 'services/freeside/src/features/payments/intake.service.ts',
    fragment: 'return await this.#apply(payment, report, decision, kept);',
    replacement: `void this.#apply(payment, report, decision, kept).catch(() => undefined);
      return { kind: 'applied', paymentId: payment.id, decision };`,
  },
  'replay-guard': {
    file: 'services/finn/src/features/s2s-auth/replay.store.ts',
    fragment: `if redis.call('EXISTS', KEYS[1]) == 1 then return 'jti' end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'reservation' end
`,
    replacement: '',
  },
};

/** @throws unless the fragment stands there exactly once */
export function applyEdit(source: string, { file, fragment, replacement }: SourceEdit): string {
  const parts = source.split(fragment);
  if (parts.length !== 2) {
    throw new Error(`${file} has the fragment ${parts.length - 1} times, not once: ${fragment}`);
  }
  return parts.join(replacement);
}
