import { connect } from 'node:net';

const ANSWERED_WITHIN_MS = 10_000;

/**
 * One command without arguments, on a connection of its own; spoken by hand: two lines need no client.
 *
 * @returns the first line of the answer, such as `+OK`. @throws when Redis hangs up, refuses the
 * password, or does not answer within 10 s.
 */
export async function askRedis(url: string, command: string): Promise<string> {
  const { hostname, port, password } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), timeout: ANSWERED_WITHIN_MS });
  const answered = new Promise<string>((resolve, reject) => {
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (data: string) => {
      answer += data;
      if (answer.split('\r\n').length > 2) resolve(answer);
    });
    socket.on('timeout', () => reject(new Error('Redis is silent')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`Redis hung up after ${answer}`)));
  });
  socket.write(`AUTH ${password}\r\n${command}\r\n`);
  const [login, answer = ''] = (await answered.finally(() => socket.destroy())).split('\r\n');
  if (login !== '+OK') throw new Error(`Redis refused: ${login ?? ''}`);
  return answer;
}
