import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';

const Health = Type.Object({ status: Type.Literal('ok'), version: Type.String() });

/** `GET /health`: that the process answers. Whether it can work is `/readyz` on the admin port. */
export function addHealthRoutes(app: FastifyInstance, version: string): void {
  app
    .withTypeProvider<TypeBoxTypeProvider>()
    .get('/health', { schema: { response: { 200: Health } } }, () => ({
      status: 'ok' as const,
      version,
    }));
}
