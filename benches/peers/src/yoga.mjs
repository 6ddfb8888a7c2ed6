// GraphQL Yoga on Node's own HTTP server, with graphql-ws for subscriptions.
import { createServer } from 'node:http';

import { useServer } from 'graphql-ws/use/ws';
import { createSchema, createYoga } from 'graphql-yoga';
import { WebSocketServer } from 'ws';

import { broadcast, claims, port, resolvers, typeDefs } from './backend.mjs';

const schema = createSchema({ typeDefs, resolvers });
const yoga = createYoga({
  schema,
  logging: false,
  graphiql: false,
  landingPage: false,
  context: ({ request }) => ({ caller: claims(request.headers.get('authorization')) }),
});
const server = createServer((request, response) => {
  if (request.url === '/broadcast') {
    broadcast();
    response.end();
  } else {
    yoga(request, response);
  }
});
useServer(
  { schema, context: ({ connectionParams }) => ({ caller: claims(connectionParams?.authorization) }) },
  new WebSocketServer({ server, path: '/graphql' }),
);
server.listen(port, '127.0.0.1');
