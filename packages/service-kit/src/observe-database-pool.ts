import { Gauge, type Registry } from 'prom-client';

/** What a pool of connections tells about itself; pg's `Pool` does. */
export interface DatabasePoolCounts {
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
}

/**
 * `db_pool_connections` by state, `db_pool_max_connections` and `db_pool_waiting_requests`, read
 * when the metrics are.
 *
 * @param max connections that the pool may open
 */
export function observeDatabasePool(
  registry: Registry,
  pool: DatabasePoolCounts,
  max: number,
): void {
  const registers = [registry];
  new Gauge({
    name: 'db_pool_connections',
    help: 'Open connections to the database, by state (in_use, idle).',
    labelNames: ['state'],
    registers,
    collect() {
      this.set({ state: 'in_use' }, pool.totalCount - pool.idleCount);
      this.set({ state: 'idle' }, pool.idleCount);
    },
  });
  new Gauge({
    name: 'db_pool_max_connections',
    help: 'Connections to the database that the process may open.',
    registers,
  }).set(max);
  new Gauge({
    name: 'db_pool_waiting_requests',
    help: 'Statements that wait for a connection to the database.',
    registers,
    collect() {
      this.set(pool.waitingCount);
    },
  });
}
