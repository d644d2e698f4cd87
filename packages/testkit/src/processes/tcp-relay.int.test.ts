import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startTcpRelay, type TcpRelay } from './tcp-relay.ts';
import { waitFor } from './wait-for.ts';

/** Sends back what it gets. */
let echo: Server;
let relay: TcpRelay;
let received = 0;
const clients: Socket[] = [];

beforeEach(async () => {
  received = 0;
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', (data) => {
      received += data.length;
      socket.write(data);
    });
    socket.on('end', () => socket.end('bye'));
    socket.on('error', () => undefined);
  }).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  relay = await startTcpRelay({ targetPort: (echo.address() as AddressInfo).port });
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await relay.close();
  echo.close();
});

async function dial(): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect({ port: relay.port, host: relay.host, allowHalfOpen: true });
  clients.push(socket);
  let text = '';
  socket.on('data', (data) => (text += data.toString()));
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return { socket, text: () => text };
}

describe('a relay', () => {
  it('hands on both directions, and the end of one while the other goes on', async () => {
    const { socket, text } = await dial();
    socket.end('hello ');
    await once(socket, 'close');
    expect(text()).toBe('hello bye');
    await waitFor(() => relay.connections === 0);
  });

  it('refuses connections when cut, resets those there are, and serves again when mended', async () => {
    const { socket } = await dial();
    await waitFor(() => relay.connections === 1);
    await relay.cut();
    await waitFor(() => socket.destroyed);
    await expect(dial()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await relay.restore();
    const again = await dial();
    again.socket.write('back');
    await waitFor(() => again.text() === 'back');
  });

  it('swallows nothing in a black hole but hands it on when mended', async () => {
    const { socket, text } = await dial();
    socket.write('a');
    await waitFor(() => text() === 'a');
    relay.blackHole();
    socket.write('b');
    const other = await dial();
    other.socket.write('c');
    await waitFor(() => socket.bytesWritten === 2 && relay.connections === 2);
    expect([text(), other.text(), received]).toEqual(['a', '', 1]);
    await relay.restore();
    await waitFor(() => text() === 'ab' && other.text() === 'c');
  });

  it('delays each piece, in order', async () => {
    relay.delay(60);
    const { socket, text } = await dial();
    const start = performance.now();
    socket.write('1');
    await waitFor(() => text() === '1');
    expect(performance.now() - start).toBeGreaterThanOrEqual(115);
    for (let piece = 2; piece <= 9; piece += 1) socket.write(String(piece));
    await waitFor(() => text() === '123456789');
  });

  it('sends new connections to another target', async () => {
    const other = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end('other');
    }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    relay.retarget((other.address() as AddressInfo).port);
    const { text } = await dial();
    await waitFor(() => text() === 'other');
    other.close();
  });
});
