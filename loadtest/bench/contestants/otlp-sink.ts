import { createServer } from 'node:http';
import { findFreePort } from '@arrakis/testkit';

export interface OtlpSink {
  readonly url: string;
  /** Exports that have arrived: none means that nothing was traced. */
  readonly exports: number;
  stop(): Promise<void>;
}

/** Takes traces over OTLP/HTTP and forgets them. */
export async function startOtlpSink(): Promise<OtlpSink> {
  const port = await findFreePort();
  let exports = 0;
  const server = createServer((request, response) => {
    request.resume();
    exports += 1;
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${port}`,
    get exports() {
      return exports;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
