import type { Dependency, ServiceName } from '../../support/system.ts';

/** Who speaks to whom: `api-1->postgres`, `client->api-2`. */
export type WireName = `${ServiceName | 'client'}->${Dependency | ServiceName}`;

/** Every wire there is. A seed's schedule draws from them by place: another order is another schedule. */
export const WIRE_NAMES: readonly [WireName, ...WireName[]] = [
  'api-1->postgres',
  'api-2->postgres',
  'api-1->finn',
  'api-2->finn',
  'client->api-1',
  'client->api-2',
  'finn-1->postgres',
  'finn-2->postgres',
  'finn-1->redis',
  'finn-2->redis',
  'finn-1->nats',
  'finn-2->nats',
  'finn-1->jwks',
  'finn-2->jwks',
  'worker-1->postgres',
  'worker-1->nats',
];
