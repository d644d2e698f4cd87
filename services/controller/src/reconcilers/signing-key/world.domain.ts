import { kidCreatedAtSeconds } from '@arrakis/signing-keys/kid.domain.ts';

export type KeyPhase =
  'Publishing' | 'Propagating' | 'Canary' | 'Active' | 'Retiring' | 'Retired' | 'Failed';

/** What the status says of one key. */
export interface KeyRecord {
  readonly kid: string;
  readonly phase: KeyPhase;
  readonly createdAt?: Date | undefined;
  readonly publishedAt?: Date | undefined;
  /** Every replica serves it since, without a gap that was seen. */
  readonly servedAt?: Date | undefined;
  readonly canaryPassedAt?: Date | undefined;
  /** Every replica was seen to sign with it. */
  readonly activatedAt?: Date | undefined;
  readonly retireAfter?: Date | undefined;
  readonly retiredAt?: Date | undefined;
}

/** Everything that decides what happens next, read anew for each decision. */
export interface World {
  readonly now: Date;
  readonly spec: {
    readonly rotationIntervalMs: number;
    readonly overlapMs: number;
    readonly propagationWaitMs: number;
  };
  /** The controller's own floor. */
  readonly minPropagationWaitMs: number;
  /** Value of the annotation by which an operator asks for a rotation. */
  readonly rotateRequest: string | undefined;
  readonly recorded: {
    readonly activeKid: string | undefined;
    readonly lastRotateRequest: string | undefined;
    readonly keys: readonly KeyRecord[];
  };
  readonly secret: {
    /** A good one holds the private key that its name says. */
    readonly pems: readonly { readonly kid: string; readonly isGood: boolean }[];
    /** What `active.json` names. */
    readonly active: { readonly kid: string; readonly since: Date } | undefined;
  };
  /** Public halves of the issuer. `fits`: equal to the private half, as far as that is at hand. */
  readonly rows: readonly {
    readonly kid: string;
    readonly createdAt: Date;
    readonly expiresAt: Date;
    readonly fits: boolean;
  }[];
  readonly seen: Seen;
}

/** What was asked for this decision; absent means not asked. */
export interface Seen {
  readonly served?: Confirmation;
  readonly canary?: Confirmation;
  readonly signers?: Signers;
}

export type Confirmation =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly reason: string;
      /** Somebody answered, and the answer was no; else it could not be asked. */
      readonly isDenial: boolean;
    };

/** Which keys the ready replicas say they sign with. */
export interface Signers {
  readonly replicas: number;
  readonly kids: readonly string[];
  /** Why not all of them could be asked. */
  readonly unclear?: string | undefined;
}

export type Question =
  | { readonly what: 'served'; readonly kid: string }
  | { readonly what: 'canary'; readonly kid: string }
  | { readonly what: 'signers' };

/** One write, or a few that are safe to repeat in this order after dying between any two. */
export type Action =
  /** The first key: public row, then the Secret with the key and the choice of it. */
  | { readonly do: 'bootstrap' }
  /** The next key: into the Secret. */
  | { readonly do: 'create' }
  | { readonly do: 'publish'; readonly kid: string; readonly expiresAt: Date }
  /** The row holds another public half: out with it, and published again. */
  | { readonly do: 'republish'; readonly kid: string; readonly expiresAt: Date }
  | { readonly do: 'extend'; readonly kid: string; readonly expiresAt: Date }
  /** `active.json`. */
  | { readonly do: 'activate'; readonly kid: string; readonly since: Date }
  /** Verifies nothing, then can't sign, then is forgotten. */
  | { readonly do: 'retire'; readonly kid: string }
  | { readonly do: 'forget-row'; readonly kid: string };

export const rowOf = (world: World, kid: string) => world.rows.find((row) => row.kid === kid);
export const recordOf = (world: World, kid: string) =>
  world.recorded.keys.find((key) => key.kid === kid);
export const isGood = (world: World, kid: string): boolean =>
  world.secret.pems.some((pem) => pem.kid === kid && pem.isGood);
export const isStored = (world: World, kid: string): boolean =>
  world.secret.pems.some((pem) => pem.kid === kid);
export const isLiveRow = (world: World, kid: string): boolean => {
  const row = rowOf(world, kid);
  return row !== undefined && row.expiresAt > world.now;
};

export const madeAtMs = (kid: string): number => (kidCreatedAtSeconds(kid) ?? 0) * 1_000;

/** Above 0 when `a` was made in a later second. */
export function compareAge(a: string, b: string): number {
  return madeAtMs(a) - madeAtMs(b);
}

export const plusMs = (date: Date, ms: number): Date => new Date(date.getTime() + ms);
