/** What we accept of the packages that we use, and every exception with its reason. */

interface Exception {
  readonly why: string;
}

interface TemporaryException extends Exception {
  /** The last day (UTC) on which it counts; after that somebody has to look again. */
  readonly until: string;
}

/** A published weakness that doesn't reach us, or that we bear until it is mended. */
export interface AdvisoryException extends TemporaryException {
  /** `GHSA-…` as in the address of the advisory. */
  readonly id: string;
}

export interface PackageException extends TemporaryException {
  readonly packages: readonly string[];
}

export interface LicenceException extends Exception {
  /** Names; one may end in `*`. */
  readonly packages: readonly string[];
  readonly licence: string;
}

export interface DependencyPolicy {
  readonly advisories: readonly AdvisoryException[];
  readonly withoutIntegrity: readonly PackageException[];
  /** SPDX identifiers that anything may have. */
  readonly licences: readonly string[];
  readonly licenceExceptions: readonly LicenceException[];
  /** Packages of which the services' installation holds several majors, and why that is no harm. */
  readonly severalMajors: readonly (Exception & { readonly packages: readonly string[] })[];
  /** In `allowScripts` although they are not installed. */
  readonly foreseenScripts: readonly (Exception & { readonly packages: readonly string[] })[];
}

export const POLICY: DependencyPolicy = {
  advisories: [],

  withoutIntegrity: [
    {
      packages: ['@node-llama-cpp/mac-arm64-metal', '@node-llama-cpp/mac-x64'],
      why: 'the registry with which the lockfile was made has no such version, so nothing to hash; they are optional and installed on macOS only',
      until: '2027-02-28',
    },
  ],

  licences: [
    'Apache-2.0',
    'MIT',
    'ISC',
    '0BSD',
    'BSD-2-Clause',
    'BSD-3-Clause',
    'BlueOak-1.0.0',
    'Unlicense',
  ],
  licenceExceptions: [
    {
      packages: ['lightningcss', 'lightningcss-*'],
      licence: 'MPL-2.0',
      why: 'used unchanged, by the test runner only; nothing of it is shipped',
    },
    {
      packages: ['argparse'],
      licence: 'PSF-2.0',
      why: 'permissive; comes with js-yaml, by which the Kubernetes client reads a kubeconfig',
    },
  ],

  severalMajors: [
    {
      packages: [
        ...['ansi-regex', 'ansi-styles', 'cli-spinners', 'cliui', 'emoji-regex', 'slice-ansi'],
        ...['is-fullwidth-code-point', 'lifecycle-utils', 'parse-ms', 'pretty-ms', 'strip-ansi'],
        ...['string-width', 'wrap-ansi', 'yargs', 'yargs-parser', 'isexe', 'which', 'signal-exit'],
      ],
      why: 'terminal output and process start of the command lines that node-llama-cpp and node-pg-migrate bring along',
    },
    {
      packages: [
        'balanced-match',
        'brace-expansion',
        'glob',
        'lru-cache',
        'minimatch',
        'path-scurry',
      ],
      why: 'file patterns of node-pg-migrate, node-llama-cpp and fastify, each on its own; no pattern comes from outside',
    },
    {
      packages: ['fast-uri'],
      why: 'ajv and @fastify/ajv-compiler are a major apart; both read the names of our own schemas only',
    },
    {
      packages: ['@types/node', 'undici-types'],
      why: 'types only: the Kubernetes client brings those of a newer Node, and nothing of ours sees them',
    },
    {
      packages: ['agent-base'],
      why: 'the Kubernetes client and a cloud detector of OpenTelemetry that is not enabled are two majors apart; each makes its own proxy agents',
    },
  ],

  foreseenScripts: [{ packages: ['esbuild'], why: 'is to bundle the widget' }],
};
