import { fastify } from 'fastify';
import { createHttpApp, createLogger, createRegistry } from './index.ts';
import { Pool } from 'undici';
import { Type } from 'typebox';
import { Worker, isMainThread, workerData, parentPort } from 'node:worker_threads';
const body = JSON.stringify({ model: 'm', messages: Array.from({length: 4}, () => ({ role: 'user', content: 'x'.repeat(500) })) });
const schema = { body: Type.Object({ model: Type.String(), messages: Type.Array(Type.Object({ role: Type.String(), content: Type.String() })) }), response: { 200: Type.Object({ ok: Type.Boolean() }) } };
if (isMainThread) {
  for (const round of [1,2]) for (const kind of ['bare', 'nolog', 'kit']) {
    const app: any = kind === 'bare' ? fastify() : createHttpApp({ logger: createLogger({ service: 's', level: kind === 'nolog' ? 'silent' : 'info' }), bodyLimitBytes: 1e6, requestTimeoutMs: 30000, registry: createRegistry('s') });
    app.post('/v1/chat', { schema }, () => ({ ok: true }));
    await app.listen({ host: '127.0.0.1', port: 0 });
    const w = new Worker(new URL(import.meta.url), { workerData: app.server.address().port });
    const cpu0 = process.cpuUsage(); const t0 = performance.eventLoopUtilization();
    const n: number = await new Promise((r) => w.once('message', r));
    const elu = performance.eventLoopUtilization(t0);
    process.stderr.write(`${kind}: ${n} req in 4s; main-thread busy ${(elu.active / n * 1000).toFixed(1)} µs/req\n`);
    await app.close();
  }
  process.exit(0);
} else {
  const pool = new Pool(`http://127.0.0.1:${workerData}`, { connections: 16 });
  let n = 0; const end = Date.now() + 4000;
  await Promise.all(Array.from({ length: 16 }, async () => { while (Date.now() < end) { const r = await pool.request({ path: '/v1/chat', method: 'POST', headers: { 'content-type': 'application/json', authorization: 'Bearer x' }, body }); if (r.statusCode !== 200) throw new Error(String(r.statusCode)); await r.body.dump(); n++; } }));
  parentPort!.postMessage(n);
}
