/** The layer table of docs/architecture/layers.md, enforced. */
const inSlices = '^services/[^/]+/src/features/';
const edge = '(routes|consumer|job)\\.ts$|/commands/';
const store = '(^|/|\\.)store\\.ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      // k6 has its own modules built in.
      to: { couldNotResolve: true, pathNot: '^k6(/|$)' },
    },
    {
      name: 'domain-is-pure',
      comment: 'Domain code imports only domain code, contracts and money.',
      severity: 'error',
      from: { path: '(^|/|\\.)domain\\.ts$' },
      to: {
        pathNot: '(^|/|\\.)domain\\.ts$|^packages/(contracts|money)/|node_modules/typebox/',
      },
    },
    {
      name: 'edges-use-services-only',
      comment: 'Routes, consumers, jobs and commands call a service; no store, no pg.',
      severity: 'error',
      from: { path: edge, pathNot: '\\.test\\.ts$' },
      to: { path: `${store}|node_modules/pg/|^packages/postgres/` },
    },
    {
      name: 'services-know-no-transport',
      severity: 'error',
      from: { path: '(^|/|\\.)service\\.ts$' },
      to: { path: 'node_modules/(fastify|@fastify|discord\\.js|telegraf)/' },
    },
    {
      name: 'stores-speak-sql-only',
      severity: 'error',
      from: { path: store },
      to: { path: 'node_modules/(fastify|@fastify|undici)/|\\.client\\.ts$|\\.publisher\\.ts$' },
    },
    {
      name: 'stores-keep-to-their-slice',
      severity: 'error',
      from: { path: `${inSlices}([^/]+)/.*store\\.ts$` },
      to: { path: `${inSlices}[^/]+/.*store\\.ts$`, pathNot: `${inSlices}$1/` },
    },
    {
      name: 'clients-use-no-store',
      severity: 'error',
      from: { path: '\\.(client|publisher)\\.ts$' },
      to: { path: store },
    },
    {
      name: 'nobody-imports-wiring',
      comment: 'main, app and context wire; features never reach back.',
      severity: 'error',
      from: { path: inSlices, pathNot: '\\.test\\.ts$|/test-support/' },
      to: { path: '^services/[^/]+/src/(main|app|context)\\.ts$' },
    },
    {
      name: 'services-never-import-each-other',
      severity: 'error',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^services/', pathNot: '^services/$1/' },
    },
    {
      name: 'packages-never-import-services',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^(services|scripts|test)/' },
    },
    {
      name: 'products-never-import-tests',
      severity: 'error',
      from: { path: '^(services|packages/(?!testkit))', pathNot: '\\.test\\.ts$|/test-support/' },
      to: { path: '^packages/testkit/|\\.test\\.ts$|/test-support/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'types'],
    },
  },
};
