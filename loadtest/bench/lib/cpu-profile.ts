/** What V8 writes with `--cpu-prof`. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  /** Microseconds between one sample and the one before. */
  readonly timeDeltas: readonly number[];
}

export interface Share {
  readonly name: string;
  readonly micros: number;
}

export interface ProfileSummary {
  /** Without idle time. */
  readonly busyMicros: number;
  readonly idleMicros: number;
  readonly byFunction: readonly Share[];
  /** npm packages, our folders, Node's own modules, V8. */
  readonly byPackage: readonly Share[];
  /** Time in a function of ours and in everything that it called, for our functions only. */
  readonly inclusive: readonly Share[];
}

const IDLE = new Set(['(idle)']);

/** Self time of each function and of each package, and inclusive time of our own functions. */
export function summariseProfile(profile: CpuProfile): ProfileSummary {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(
    profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  );
  const self = new Map<number, number>();
  profile.samples.forEach((id, index) => {
    // The time until the next sample is what this one stands for.
    add(self, id, Math.max(0, profile.timeDeltas[index + 1] ?? 0));
  });
  const byFunction = new Map<string, number>();
  const byPackage = new Map<string, number>();
  const inclusive = new Map<string, number>();
  let [busyMicros, idleMicros] = [0, 0];
  for (const [id, micros] of self) {
    const frame = nodes.get(id)?.callFrame;
    if (frame === undefined) continue;
    if (IDLE.has(frame.functionName)) {
      idleMicros += micros;
      continue;
    }
    busyMicros += micros;
    add(byFunction, nameOf(frame), micros);
    add(byPackage, packageOf(frame), micros);
    for (const name of callersOf(id)) add(inclusive, name, micros);
  }

  function callersOf(start: number): Set<string> {
    const names = new Set<string>();
    for (let id: number | undefined = start; id !== undefined; id = parents.get(id)) {
      const frame = nodes.get(id)?.callFrame;
      if (frame !== undefined && isOurs(frame.url)) names.add(nameOf(frame));
    }
    return names;
  }

  return {
    busyMicros,
    idleMicros,
    byFunction: sorted(byFunction),
    byPackage: sorted(byPackage),
    inclusive: sorted(inclusive),
  };
}

type Frame = CpuProfile['nodes'][number]['callFrame'];

function nameOf({ functionName, url, lineNumber }: Frame): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  return url === '' ? name : `${name}  ${shorten(url)}:${lineNumber + 1}`;
}

const IN_PACKAGE = /node_modules\/((?:@[^/]+\/)?[^/]+)\//g;

function packageOf({ functionName, url }: Frame): string {
  if (url === '') return functionName.startsWith('(') ? functionName : 'native';
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/');
  const inner = [...url.matchAll(IN_PACKAGE)].at(-1)?.[1];
  return inner ?? shorten(url).split('/').slice(0, -1).join('/');
}

function isOurs(url: string): boolean {
  return url.startsWith('file:') && !url.includes('node_modules');
}

function shorten(url: string): string {
  const inModules = url.lastIndexOf('node_modules/');
  if (inModules !== -1) return url.slice(inModules + 'node_modules/'.length);
  return url.replace(/^file:.*?\/((?:services|packages)\/)/, '$1');
}

function add<K>(sums: Map<K, number>, key: K, micros: number): void {
  sums.set(key, (sums.get(key) ?? 0) + micros);
}

function sorted(sums: ReadonlyMap<string, number>): Share[] {
  return [...sums].map(([name, micros]) => ({ name, micros })).sort((a, b) => b.micros - a.micros);
}
