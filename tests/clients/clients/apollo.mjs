import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { eventStream } from '../lib/event-stream.mjs';
import { RequestError } from '../lib/request-error.mjs';
import { bearer, openSocket } from '../lib/socket.mjs';

export const name = 'Apollo Client';

/** Apollo Client: subscriptions over the socket, everything else over HTTP. */
export function createClient({ url, token, retryAttempts }) {
  const { socket, closed } = openSocket({ url, token, retryAttempts });
  const link = ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    httpLink({ url, token }),
  );
  const client = clientOver(link);
  return {
    ...client,
    closed,
    async close() {
      await client.close();
      await socket.dispose();
    },
  };
}

export const httpLink = ({ url, token }) => new HttpLink({ uri: url, headers: bearer(token) });

/** Apollo Client over a link of any kind. */
export function clientOver(link) {
  const client = new ApolloClient({
    link,
    cache: new InMemoryCache(),
    defaultOptions: {
      query: { fetchPolicy: 'network-only', errorPolicy: 'none' },
    },
  });

  return {
    query: (document, variables) => answer(client.query({ query: gql(document), variables })),
    mutate: (document, variables) => answer(client.mutate({ mutation: gql(document), variables })),
    subscribe: (document, variables) =>
      eventStream(({ next, error, complete }) => {
        const subscription = client.subscribe({ query: gql(document), variables }).subscribe({
          next: (result) => (result.error ? error(translate(result.error)) : next(result.data)),
          error: (cause) => error(translate(cause)),
          complete,
        });
        return () => subscription.unsubscribe();
      }),
    close: async () => client.stop(),
  };
}

async function answer(promise) {
  try {
    return (await promise).data;
  } catch (error) {
    throw translate(error);
  }
}

const translate = (error) => (CombinedGraphQLErrors.is(error) ? new RequestError(error.errors) : error);
