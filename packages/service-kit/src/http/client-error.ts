import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { problem, type ProblemCode } from '@arrakis/contracts';
import { renderProblem } from '../problem-render.ts';
import { uuidv7 } from '../uuidv7.ts';
import { isAnswered, markTimedOut } from './observe.ts';

interface ClientError extends Error {
  readonly code?: string;
  /** A constant of Node's parser, such as "Invalid method encountered". */
  readonly reason?: string;
}

/** Node keeps the response in progress here, and its own handler of this event reads it too. */
interface ServingSocket extends Socket {
  readonly _httpMessage?: ServerResponse | null;
}

const CODES: Readonly<Record<string, ProblemCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  HPE_HEADER_OVERFLOW: 'headers_too_large',
};

/**
 * Answers what never became a request (or not a whole one): bytes that are no HTTP, headers beyond
 * the bound, a head or body that did not arrive in time. There is no reply object, so the answer is
 * written to the socket, unless another one has begun on it, or was given before the body's fault
 * showed: a second one would be taken for the answer to the next request.
 */
export function answerClientError(
  error: ClientError,
  socket: Socket,
  report: (answer: RawAnswer) => void,
): void {
  const response = (socket as ServingSocket)._httpMessage ?? undefined;
  const code = problemOf(error);
  if (response !== undefined && code === 'request_timeout') markTimedOut(response);
  const mustNotAnswer = response === undefined ? isAnswered(socket) : response.headersSent;
  if (error.code === 'ECONNRESET' || !socket.writable || mustNotAnswer) {
    socket.destroy();
    return;
  }
  const detail = code === 'invalid_request' ? error.reason : undefined;
  const answer = createAnswer(code, response, detail);
  socket.end(answer.text);
  // `end` alone would leave a client that never closes its side holding the connection.
  socket.destroySoon();
  // A request that had begun reports itself when its response closes.
  if (response === undefined) report(answer);
}

/** `CONNECT` has its own event and, without a listener, no answer at all. */
export function refuseConnect(socket: Duplex, report: (answer: RawAnswer) => void): void {
  const answer = createAnswer('method_not_allowed', undefined, 'CONNECT is not offered.');
  socket.on('error', () => undefined);
  socket.end(answer.text, () => socket.destroy());
  report(answer);
}

function problemOf(error: ClientError): ProblemCode {
  return CODES[error.code ?? ''] ?? 'invalid_request';
}

export interface RawAnswer {
  readonly status: number;
  readonly requestId: string;
  readonly text: string;
}

function createAnswer(
  code: ProblemCode,
  response: ServerResponse | undefined,
  detail: string | undefined,
): RawAnswer {
  const known = response?.getHeader('x-request-id');
  const requestId = typeof known === 'string' ? known : uuidv7();
  const { status, headers, body } = renderProblem(problem({ code, requestId, detail }), 'problem');
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const text = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    ...lines,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
  return { status, requestId, text };
}
