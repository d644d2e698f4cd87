import { readdir, readFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { natsOptions } from '@arrakis/nats';
import { connect } from '@nats-io/transport-node';
import { Client } from 'pg';

/** Everything that was seen leaving at one place, as bytes. */
export interface Tap {
  readonly bytes: () => Buffer;
  close(): Promise<void>;
}

/** Every message that passes through this NATS server from now on, with subject and headers. */
export async function tapNats(url: string): Promise<Tap> {
  const connection = await connect(natsOptions(url, 'tap'));
  const pieces: Buffer[] = [];
  connection.subscribe('>', {
    callback: (error, message) => {
      if (error !== null) return;
      const headers = [...(message.headers ?? [])].flat(2).join('\n');
      pieces.push(Buffer.from(`\n${message.subject} ${message.reply ?? ''}\n${headers}\n`));
      pieces.push(Buffer.from(message.data));
    },
  });
  await connection.flush();
  return {
    bytes: () => Buffer.concat(pieces),
    async close() {
      await connection.flush();
      await connection.close();
    },
  };
}

/** Every command that any client gives this Redis from now on, AUTH excepted. */
export async function tapRedis(url: string): Promise<Tap> {
  const { hostname, port, password } = new URL(url);
  const socket = connectTcp({ host: hostname, port: Number(port) });
  const pieces: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('data', (piece: Buffer) => {
      pieces.push(piece);
      if (Buffer.concat(pieces).toString('latin1').startsWith('+OK\r\n+OK\r\n')) resolve();
    });
    socket.write(`AUTH ${password}\r\nMONITOR\r\n`);
  });
  return {
    bytes: () => Buffer.concat(pieces),
    close: () =>
      new Promise((resolve) => {
        socket.once('close', () => resolve());
        socket.destroy();
      }),
  };
}

/** Every row of every table of ours, whatever its columns. */
export async function dumpTables(url: string): Promise<{ rows: number; text: string }> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const tables = await client.query<{ name: string; statement: string }>(
      `SELECT tablename AS name, format('SELECT t::text AS row FROM %I.%I AS t', schemaname, tablename)
                AS statement
         FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
    );
    const lines: string[] = [];
    for (const { name, statement } of tables.rows) {
      const { rows } = await client.query<{ row: string }>(statement);
      lines.push(...rows.map(({ row }) => `${name} ${row}`));
    }
    return { rows: lines.length, text: lines.join('\n') };
  } finally {
    await client.end();
  }
}

/** The bytes of every file below a directory; one that vanishes meanwhile is left out. */
export async function readTree(dir: string): Promise<Buffer> {
  const names = await readdir(dir, { recursive: true }).catch(() => []);
  const files = await Promise.all(
    names.map((name) => readFile(join(dir, name)).catch(() => Buffer.alloc(0))),
  );
  return Buffer.concat(files);
}
