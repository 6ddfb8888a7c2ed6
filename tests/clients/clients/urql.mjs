import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { toAsyncIterable } from 'wonka';
import { RequestError } from '../lib/request-error.mjs';
import { bearer, openSocket } from '../lib/socket.mjs';

export const name = 'urql';

/** urql: subscriptions over the socket, everything else over HTTP. */
export function createClient({ url, token, retryAttempts }) {
  const { socket, closed } = openSocket({ url, token, retryAttempts });
  const client = new Client({
    url,
    preferGetMethod: false,
    fetchOptions: { headers: bearer(token) },
    exchanges: [
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = '', variables }) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
        }),
      }),
    ],
  });

  return {
    closed,
    query: async (document, variables) => unwrap(await client.query(document, variables).toPromise()),
    mutate: async (document, variables) => unwrap(await client.mutation(document, variables).toPromise()),
    async *subscribe(document, variables) {
      for await (const result of toAsyncIterable(client.subscription(document, variables))) {
        // urql shows the end of a stream by the last result once more, without `hasNext`.
        if (result.hasNext || result.error) yield unwrap(result);
      }
    },
    close: () => socket.dispose(),
  };
}

function unwrap({ data, error }) {
  if (!error) return data;
  throw error.graphQLErrors.length > 0 ? new RequestError(error.graphQLErrors) : error.networkError;
}
