import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { JWKS_PATH } from '@arrakis/contracts';

export interface FakeJwks {
  readonly url: string;
  /** Fetches so far. */
  readonly fetches: number;
  /** What is served from now on. */
  serve(body: unknown, status?: number): void;
  /** Answers nothing until the returned function is called. */
  hold(): () => void;
  close(): Promise<void>;
}

/** freeside's key set endpoint, as a test wants it. */
export async function startFakeJwks(keys: readonly unknown[]): Promise<FakeJwks> {
  let body = JSON.stringify({ keys });
  let status = 200;
  let fetches = 0;
  let held: ServerResponse[] | undefined;
  const answer = (response: ServerResponse): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  };
  const server = createServer((_request, response) => {
    fetches += 1;
    if (held === undefined) answer(response);
    else held.push(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${JWKS_PATH}`,
    get fetches() {
      return fetches;
    },
    serve(document, withStatus = 200) {
      body = typeof document === 'string' ? document : JSON.stringify(document);
      status = withStatus;
    },
    hold() {
      held = [];
      return () => {
        held?.forEach(answer);
        held = undefined;
      };
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
