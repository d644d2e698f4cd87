/** A link by place and hash: all that is needed to recognize the trail up to there. */
export interface Head {
  readonly sequence: bigint;
  /** 64 lower-case hex digits. */
  readonly hash: string;
}

const HEAD = /^([1-9][0-9]{0,17}):([0-9a-f]{64})$/;

/** `SEQUENCE:HASH`, as a verification prints it; `undefined` for anything else. */
export function parseHead(text: string): Head | undefined {
  const [, sequence, hash] = HEAD.exec(text) ?? [];
  return sequence === undefined || hash === undefined
    ? undefined
    : { sequence: BigInt(sequence), hash };
}
