// Mercurius on Fastify, with its compiler for queries.
import Fastify from 'fastify';
import mercurius from 'mercurius';

import { broadcast, claims, port, resolvers, typeDefs } from './backend.mjs';

const app = Fastify();
app.register(mercurius, {
  schema: typeDefs,
  resolvers,
  jit: 1,
  context: (request) => ({ caller: claims(request.headers.authorization) }),
  subscription: {
    onConnect: ({ payload }) => ({ caller: claims(payload?.authorization) }),
  },
});
app.post('/broadcast', async () => {
  broadcast();
  return '';
});
await app.listen({ host: '127.0.0.1', port });
