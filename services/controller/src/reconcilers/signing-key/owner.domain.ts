interface Claim {
  readonly metadata: {
    readonly name: string;
    readonly creationTimestamp?: string;
    readonly finalizers?: readonly string[];
  };
  readonly spec: { readonly issuer: string };
}

/**
 * Which resource has the keys of an issuer: the one that has them already, which its finalizer
 * shows; else the oldest, and of those the first by name. Times of creation are whole seconds.
 */
export function ownerOf(all: readonly Claim[], one: Claim): string {
  let owner = one;
  for (const claim of all) {
    if (claim.spec.issuer === one.spec.issuer && precedes(claim, owner)) owner = claim;
  }
  return owner.metadata.name;
}

function precedes(a: Claim, b: Claim): boolean {
  const [left, right] = [rank(a), rank(b)];
  return left < right;
}

function rank({ metadata }: Claim): string {
  const holds = (metadata.finalizers?.length ?? 0) > 0 ? '0' : '1';
  return [holds, metadata.creationTimestamp ?? '', metadata.name].join(' ');
}
