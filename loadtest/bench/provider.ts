import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { findDirective, type Directive } from './lib/directive.ts';
import { lastEvents, plainAnswer, tokenFrame, wholeStream } from './provider/answers.ts';
import { Pacer } from './provider/pacer.ts';

/**
 * A model vendor in a process of its own: chat completions, plain and streamed, that say what the
 * directive in the prompt asks for. `node loadtest/bench/provider.ts <port>`.
 */

const pacer = new Pacer();

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  if (request.method !== 'POST') {
    request.resume();
    response.end('{"object":"list","data":[]}');
    return;
  }
  void answer(request, response);
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readBody(request);
  const directive = findDirective(body);
  if (directive === undefined) {
    response.writeHead(400).end('{"error":{"message":"no directive in the prompt"}}');
    return;
  }
  if (directive.delayMs === 0) respond(response, directive, body);
  else setTimeout(() => respond(response, directive, body), directive.delayMs);
}

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => resolve(Buffer.concat(parts).toString('latin1')));
    request.on('error', reject);
  });
}

function respond(response: ServerResponse, directive: Directive, body: string): void {
  if (!/"stream":\s*true/.test(body)) {
    const bytes = plainAnswer(directive.tokens);
    response
      .writeHead(200, { 'content-type': 'application/json', 'content-length': bytes.length })
      .end(bytes);
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  if (directive.paceMs === 0) response.end(wholeStream(directive.tokens));
  else streamPaced(response, directive);
}

/** Chunks go to the socket as made in advance: `response.write` costs twice as much. */
function streamPaced(response: ServerResponse, { tokens, paceMs }: Directive): void {
  let sent = 0;
  const send = (): boolean => {
    if (response.destroyed || response.socket === null) return false;
    response.socket.write(tokenFrame(sent));
    sent += 1;
    if (sent < tokens) return true;
    response.end(lastEvents(tokens));
    return false;
  };
  response.flushHeaders();
  if (send()) pacer.every(paceMs, send);
}

server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
