// Apollo Server on Express, with graphql-ws for subscriptions.
import { createServer } from 'node:http';

import { ApolloServer } from '@apollo/server';
import { expressMiddleware } from '@as-integrations/express5';
import express from 'express';
import { makeExecutableSchema } from '@graphql-tools/schema';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

import { broadcast, claims, port, resolvers, typeDefs } from './backend.mjs';

const schema = makeExecutableSchema({ typeDefs, resolvers });
const apollo = new ApolloServer({ schema, introspection: false, includeStacktraceInErrorResponses: false });
await apollo.start();
const app = express();
app.post('/broadcast', (_, response) => {
  broadcast();
  response.end();
});
const context = async ({ req }) => ({ caller: claims(req.headers.authorization) });
app.use('/graphql', express.json(), expressMiddleware(apollo, { context }));
const server = createServer(app);
useServer(
  { schema, context: ({ connectionParams }) => ({ caller: claims(connectionParams?.authorization) }) },
  new WebSocketServer({ server, path: '/graphql' }),
);
server.listen(port, '127.0.0.1');
