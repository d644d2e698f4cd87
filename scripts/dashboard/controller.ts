import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exerciseController } from '../../test/observability/support/controller-metrics.ts';

export interface Exposed {
  /** `host:port`, as a scrape configuration has it. */
  readonly address: string;
  close(): Promise<void>;
}

/** The controller's own metrics, fed by hand: where there is no cluster there is no such process. */
export async function exposeController(): Promise<Exposed> {
  const server = createServer((request, response) => {
    request.resume();
    exerciseController().then(
      (text) => response.writeHead(200, { 'content-type': 'text/plain' }).end(text),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
