import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { inject } from 'vitest';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { bootstrapRoles } from './bootstrap.ts';
import { MigrationError, migrate } from './migrate.ts';
import { createPool } from './pool.ts';

const MIGRATIONS_DIR = resolve(import.meta.dirname, '../../../migrations');
const { adminUrl, passwords } = inject('backends');

let database = '';
let url = '';
let pool: pg.Pool;
let dir = '';

beforeAll(async () => {
  database = `m_${randomBytes(6).toString('hex')}`;
  await bootstrap();
  const migrator = new URL(adminUrl);
  migrator.pathname = `/${database}`;
  migrator.username = 'migrator';
  migrator.password = passwords.migrator;
  url = migrator.href;
  pool = createPool({ url, max: 3, applicationName: 'test', onError: () => undefined });
});
afterAll(async () => {
  await pool.end();
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  await admin.query(['DROP DATABASE', database, 'WITH (FORCE)'].join(' '));
  await admin.end();
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'migrations-'));
});
afterEach(async () => {
  await pool.query('DROP TABLE IF EXISTS public.freeside_migrations, public.trail');
  await rm(dir, { recursive: true });
});

const bootstrap = (): Promise<void> =>
  bootstrapRoles({
    adminUrl,
    sqlFile: join(MIGRATIONS_DIR, 'bootstrap', 'roles.sql'),
    database,
    passwords: { ...passwords },
  });

const file = (name: string, up: string, down = 'SELECT 1;'): Promise<void> =>
  writeFile(
    join(dir, name),
    `-- Why: test.\n\n-- Up Migration\n${up}\n\n-- Down Migration\n${down}\n`,
  );

const up = (more: Partial<Parameters<typeof migrate>[0]> = {}): Promise<string[]> =>
  migrate({ url, migrationsDir: dir, direction: 'up', ...more });
const down = (count?: number): Promise<string[]> =>
  migrate({
    url,
    migrationsDir: dir,
    direction: 'down',
    ...(count === undefined ? {} : { count }),
  });

const trail = async (): Promise<string[]> => {
  const { rows } = await pool.query<{ name: string }>('SELECT name FROM trail ORDER BY at, name');
  return rows.map((row) => row.name);
};
const note = (name: string): string => `INSERT INTO public.trail (name) VALUES ('${name}');`;
const createTrail =
  'CREATE TABLE public.trail (name text, at bigint GENERATED ALWAYS AS IDENTITY);';

describe('migrations', () => {
  it('run in the order of their numbers, once, without a word to the console', async () => {
    const spies = (['log', 'info', 'warn', 'error'] as const).map((name) =>
      vi.spyOn(console, name),
    );
    const lines: string[] = [];
    await file('010_b.sql', note('010'));
    await file('001_a.sql', createTrail + note('001'));
    await file('009_z.sql', note('009'));
    await file('100_c.sql', note('100'));
    await mkdir(join(dir, 'bootstrap'));
    await writeFile(join(dir, 'bootstrap', 'roles.sql'), 'SELECT broken');
    expect(await up({ log: (line) => lines.push(line) })).toEqual([
      '001_a',
      '009_z',
      '010_b',
      '100_c',
    ]);
    expect(await trail()).toEqual(['001', '009', '010', '100']);
    expect(lines).toEqual(['up 001_a', 'up 009_z', 'up 010_b', 'up 100_c']);
    expect(await up()).toEqual([]);
    for (const spy of spies) expect(spy).not.toHaveBeenCalled();
  });

  it('run a file that comes later with a smaller number', async () => {
    await file('001_a.sql', createTrail);
    await file('064_c.sql', note('064'));
    await up();
    await file('063_b.sql', note('063'));
    expect(await up()).toEqual(['063_b']);
    expect(await trail()).toEqual(['064', '063']);
  });

  it('are taken back last first, as many as asked', async () => {
    await file('001_a.sql', createTrail, 'DROP TABLE public.trail;');
    await file('002_b.sql', note('b'), note('down b'));
    await file('003_c.sql', note('c'), note('down c'));
    await up();
    expect(await down(0)).toEqual([]);
    expect(await down(2)).toEqual(['003_c', '002_b']);
    expect(await trail()).toEqual(['b', 'c', 'down c', 'down b']);
    expect(await down()).toEqual(['001_a']);
    expect(await up()).toEqual(['001_a', '002_b', '003_c']);
  });

  it('leave whole files behind when one fails, and go on from there', async () => {
    await file('001_a.sql', createTrail);
    await file('002_b.sql', `${note('half')} SELECT 1/0;`);
    await file('003_c.sql', note('c'));
    const failure = up();
    await expect(failure).rejects.toThrow(MigrationError);
    await expect(failure).rejects.toThrow('002_b failed: division by zero');
    expect(await trail()).toEqual([]);
    await file('002_b.sql', note('whole'));
    expect(await up()).toEqual(['002_b', '003_c']);
    expect(await trail()).toEqual(['whole', 'c']);
  });

  it('are taken over from a process that died in the middle of a file', async () => {
    await file('001_a.sql', createTrail);
    await file('002_b.sql', `${note('half')} SELECT pg_sleep(600);`);
    const dying = up().catch((error: unknown) => error);
    const victims = async (): Promise<number> => {
      const { rowCount } = await pool.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name = 'migrate' AND datname = current_database()
            AND wait_event = 'PgSleep'`,
      );
      return rowCount ?? 0;
    };
    await expect.poll(victims).toBe(1);
    expect(await dying).toBeInstanceOf(MigrationError);
    await file('002_b.sql', note('whole'));
    expect(await up()).toEqual(['002_b']);
    expect(await trail()).toEqual(['whole']);
  });

  it('that are started together run once', async () => {
    await file('001_a.sql', createTrail);
    await file('002_b.sql', note('b'));
    const ran = await Promise.all([up(), up(), up()]);
    expect(ran.flat().toSorted()).toEqual(['001_a', '002_b']);
    expect(await trail()).toEqual(['b']);
  });

  it.each([
    ['a.sql', '-- Up Migration\n-- Down Migration\n', /not named/],
    ['001_a.js', 'throw new Error()', /not named/],
    ['001_a.sql', 'CREATE TABLE public.trail ();', /needs "-- Up Migration"/],
    ['001_a.sql', '-- Up Migration\nSELECT 1;', /needs "-- Up Migration"/],
    ['001_a.sql', '-- Down Migration\n-- Up Migration\n', /needs "-- Up Migration"/],
  ])('refuse the file %s with %j before anything runs', async (name, text, reason) => {
    await writeFile(join(dir, name), text);
    await expect(up()).rejects.toThrow(reason);
  });

  it('refuse a number that is used twice', async () => {
    await file('001_a.sql', createTrail);
    await file('001_b.sql', note('b'));
    await expect(up()).rejects.toThrow('number 001 is used twice');
  });
});

describe("the platform's migrations", () => {
  it('run up, all the way down, and up again', async () => {
    const run = (direction: 'up' | 'down', count?: number): Promise<string[]> =>
      migrate({
        url,
        migrationsDir: MIGRATIONS_DIR,
        direction,
        ...(count === undefined ? {} : { count }),
      });
    const names = await run('up');
    expect(names[0]).toBe('001_create_schema');
    expect(await run('down', names.length)).toEqual(names.toReversed());
    expect(await run('up')).toEqual(names);
    await run('down', names.length);
  });
});

describe('a bootstrapped database', () => {
  it('belongs to the migrator, and bootstrapping it again changes nothing', async () => {
    await Promise.all([bootstrap(), bootstrap()]);
    const { rows } = await pool.query<{ owner: string; acl: string }>(
      `SELECT pg_get_userbyid(datdba) AS owner, datacl::text AS acl
         FROM pg_database WHERE datname = current_database()`,
    );
    expect(rows[0]?.owner).toBe('migrator');
    expect(rows[0]?.acl).toContain('freeside_app=c/migrator');
    expect(rows[0]?.acl).toContain('loa_finn_ro=c/migrator');
    expect(rows[0]?.acl).not.toMatch(/[{,]=/);
  });

  it('lets the roles in with their passwords only, and nobody create anything', async () => {
    const connect = async (user: string, password: string): Promise<pg.Client> => {
      const client = new pg.Client({
        connectionString: Object.assign(new URL(url), { username: user, password }).href,
      });
      await client.connect();
      return client;
    };
    await expect(connect('freeside_app', 'wrong')).rejects.toMatchObject({ code: '28P01' });
    for (const role of ['freeside_app', 'loa_finn_ro'] as const) {
      const client = await connect(role, passwords[role]);
      await client.query('SET default_transaction_read_only = off');
      await expect(client.query('CREATE TABLE public.x ()')).rejects.toMatchObject({
        code: '42501',
      });
      await expect(client.query('CREATE SCHEMA x')).rejects.toMatchObject({ code: '42501' });
      await expect(client.query('CREATE TEMP TABLE x ()')).rejects.toMatchObject({ code: '42501' });
      await client.end();
    }
  });

  it('keeps strangers out', async () => {
    const admin = new pg.Client({ connectionString: adminUrl });
    await admin.connect();
    await admin.query("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN PASSWORD 's'");
    const stranger = new pg.Client({
      connectionString: Object.assign(new URL(url), { username: 'stranger', password: 's' }).href,
    });
    await expect(stranger.connect()).rejects.toMatchObject({ code: '42501' });
    await admin.query('DROP ROLE stranger');
    await admin.end();
  });
});
