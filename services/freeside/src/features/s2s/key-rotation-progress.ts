/** What a rotation reports while it runs. No field can hold key material. */
export type RotationProgress =
  | {
      readonly step: 'created' | 'resumed' | 'published' | 'activated' | 'removed';
      readonly kid: string;
    }
  | { readonly step: 'served' | 'canary_accepted'; readonly kid: string; readonly url: string }
  | { readonly step: 'waiting'; readonly secondsLeft: number; readonly secondsTotal: number }
  | { readonly step: 'limited'; readonly kid: string; readonly expiresAt: Date };

export type RotationStep =
  'plan' | 'create' | 'publish' | 'served' | 'wait' | 'canary' | 'switch' | 'limit';

/** A rotation stopped. Says where, and with {@link describeStop} what state things are in. */
export class RotationError extends Error {
  readonly step: RotationStep;
  readonly oldKid: string | undefined;
  readonly newKid: string | undefined;

  constructor(
    step: RotationStep,
    reason: string,
    kids: { readonly oldKid?: string; readonly newKid?: string },
    options?: ErrorOptions,
  ) {
    super(reason, options);
    this.name = 'RotationError';
    this.step = step;
    this.oldKid = kids.oldKid;
    this.newKid = kids.newKid;
  }
}

const WHERE: Readonly<Record<RotationStep, string>> = {
  plan: 'before anything was changed',
  create: 'while making the new key',
  publish: 'while publishing the new key',
  served: 'while waiting to see the new key served',
  wait: 'during the propagation wait',
  canary: 'at the canary',
  switch: 'at the switch',
  limit: 'after the switch',
};

/** What state a stopped rotation left, and how to go on: one sentence a line. */
export function describeStop(error: RotationError): string[] {
  const { step, oldKid = 'none', newKid } = error;
  const lines = [`Stopped ${WHERE[step]}: ${error.message}.`];
  if (step === 'plan') return lines;
  if (step === 'limit') {
    return [
      ...lines,
      `The switch is done: ${newKid ?? 'the new key'} signs.`,
      `The old key ${oldKid} is published for longer than it needs to be.`,
      'To go on: run retire, which ends its overlap in time.',
    ];
  }
  if (step === 'switch') {
    return [
      ...lines,
      'Either key is accepted everywhere, so nothing is refused whichever one signs now.',
      'To go on: run list to see which is active; if it is the old one, run rotate again.',
    ];
  }
  const newState =
    newKid === undefined || step === 'publish'
      ? 'No new key is in use.'
      : `The new key ${newKid} is published and does not sign.`;
  return [
    ...lines,
    `The old key ${oldKid} is still the active one; nothing is refused. ${newState}`,
    'To go on: remove the cause and run rotate again; it continues with the same new key.',
  ];
}
