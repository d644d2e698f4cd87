import { describe, expect, it } from 'vitest';
import { lockfileFaults } from './lockfile-rules.ts';
import { shippedPaths, type LockEntry, type Manifest, type Repository } from './lockfile.ts';
import type { DependencyPolicy } from './policy.ts';

const POLICY: DependencyPolicy = {
  advisories: [],
  withoutIntegrity: [],
  licences: ['MIT', 'ISC'],
  licenceExceptions: [],
  severalMajors: [],
  foreseenScripts: [],
};
const TODAY = '2026-11-22';
const INTEGRITY = `sha512-${'A'.repeat(86)}==`;

function entry(change: Partial<LockEntry> = {}): LockEntry {
  return { version: '1.2.3', integrity: INTEGRITY, license: 'MIT', ...change };
}

function repository(
  packages: Record<string, LockEntry> = {},
  manifest: Partial<Manifest> = {},
): Repository {
  const root: Manifest = { name: 'a', dependencies: { b: '1.2.3' }, ...manifest };
  const own = root.dependencies === undefined ? {} : { dependencies: root.dependencies };
  return {
    lockfile: {
      lockfileVersion: 3,
      packages: { '': own, 'node_modules/b': entry(), ...packages },
    },
    manifests: { '': root },
  };
}

const faults = (of: Repository, policy: Partial<DependencyPolicy> = {}): string[] =>
  lockfileFaults(of, { ...POLICY, ...policy }, TODAY);

describe('the check of the lockfile', () => {
  it('has nothing to say about pinned packages with hash and licence', () => {
    expect(faults(repository())).toEqual([]);
  });

  it.each(['^1.2.3', '~1.2.3', '1.x', '*', 'latest', 'git+ssh://git@x/y.git', 'file:../b', 'x/y'])(
    'wants one exact version, not "%s"',
    (range) => {
      expect(faults(repository({}, { dependencies: { b: range } }))).toEqual([
        `package.json: b is asked for as "${range}", not pinned`,
      ]);
    },
  );

  it('looks at development dependencies and overrides too', () => {
    const of = repository({}, { devDependencies: { c: '^1.0.0' }, overrides: { d: { e: '2' } } });
    expect(faults(of)).toHaveLength(2);
  });

  it('wants the lockfile that was made from the manifests', () => {
    const of = repository();
    const manifests = { '': { name: 'a', dependencies: { b: '1.2.4' } } };
    expect(faults({ ...of, manifests })[0]).toMatch(/b@1\.2\.4 is not what package-lock/);
  });

  it('wants a strong hash of every package', () => {
    for (const integrity of [undefined, '', 'sha1-abc', `sha512-${'A'.repeat(10)}`]) {
      const bad = { ...entry(), integrity } as LockEntry;
      expect(faults(repository({ 'node_modules/b': bad }))).toEqual(['b has no sha512 integrity']);
    }
  });

  it('bears a missing hash as long as its exception lasts', () => {
    const of = repository({ 'node_modules/b': { version: '1.2.3', license: 'MIT' } });
    const until = (day: string) => [{ packages: ['b'], why: 'x', until: day }];
    expect(faults(of, { withoutIntegrity: until(TODAY) })).toEqual([]);
    expect(faults(of, { withoutIntegrity: until('2026-11-21') })[0]).toMatch(/ended on/);
    expect(faults(repository(), { withoutIntegrity: until(TODAY) })[0]).toMatch(/no exception/);
  });

  it.each([
    'git+ssh://git@github.com/x/y.git#abc',
    'http://registry.npmjs.org/b/-/b-1.2.3.tgz',
    'https://registry.npmjs.org.evil.example/b/-/b-1.2.3.tgz',
    'https://user:token@host.example/b.tgz',
    'file:../b',
  ])('takes nothing from %s, and repeats no address', (resolved) => {
    const [fault = ''] = faults(repository({ 'node_modules/b': entry({ resolved }) }));
    expect(fault).toMatch(/^b does not come from the registry: \w/);
    expect(fault).not.toContain('token');
  });

  it('wants a decision on every install script that could run here, and none beyond', () => {
    const scripted = entry({ hasInstallScript: true });
    const of = (allowScripts: Record<string, boolean>, more: Partial<LockEntry> = {}) =>
      repository({ 'node_modules/b': { ...scripted, ...more } }, { allowScripts });
    expect(faults(of({}))).toEqual(["b has an install script that allowScripts doesn't decide on"]);
    expect(faults(of({ b: true }))).toEqual([]);
    expect(faults(of({ b: false }))).toEqual([]);
    expect(faults(of({}, { os: ['win32'] }))).toEqual([]);
    expect(faults(of({ b: true, c: true }))[0]).toMatch(/names c/);
  });

  it('wants licences from the list, also within an expression', () => {
    const of = (license: string) => repository({ 'node_modules/b': entry({ license }) });
    for (const good of ['MIT', '(GPL-3.0 OR MIT)', 'MIT AND ISC']) {
      expect(faults(of(good)), good).toEqual([]);
    }
    for (const bad of ['GPL-3.0', 'MIT AND GPL-3.0', 'UNLICENSED', '(MIT', 'SEE LICENSE IN x']) {
      expect(faults(of(bad)), bad).toHaveLength(1);
    }
    const licenceExceptions = [{ packages: ['b*'], licence: 'MPL-2.0', why: 'x' }];
    expect(faults(of('MPL-2.0'), { licenceExceptions })).toEqual([]);
    expect(faults(of('GPL-3.0'), { licenceExceptions })).toHaveLength(1);
  });

  it('wants a reason for two majors of what ships', () => {
    const second = (dev: boolean) =>
      repository({ 'node_modules/c/node_modules/b': entry({ version: '2.0.0', dev }) });
    expect(faults(second(false))).toEqual(['b is there in the majors 1, 2']);
    expect(faults(second(true))).toEqual([]);
    const severalMajors = [{ packages: ['b'], why: 'x' }];
    expect(faults(second(false), { severalMajors })).toEqual([]);
    expect(faults(repository(), { severalMajors })[0]).toMatch(/can go/);
  });
});

describe('what is shipped', () => {
  it('is found as Node finds it: the nearest one, through workspaces, without development', () => {
    const { lockfile } = repository({
      'services/s': { dependencies: { b: '1', own: '1' } },
      'node_modules/own': { link: true, resolved: 'packages/own' },
      'packages/own': { dependencies: { c: '1' } },
      'packages/own/node_modules/c': entry({ dependencies: { b: '1' } }),
      'node_modules/c': entry(),
      'node_modules/unused': entry(),
    });
    expect([...shippedPaths(lockfile, ['services/s'])].sort()).toEqual([
      'node_modules/b',
      'packages/own',
      'packages/own/node_modules/c',
    ]);
  });
});
