import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from '@apollo/client';
import { RetryLink } from '@apollo/client/link/retry';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import { tap } from 'rxjs';

const GATEWAY = import.meta.env.VITE_GATEWAY_URL ?? 'http://127.0.0.1:8080';

/** A client for whoever holds the token; for nobody without one. */
export function createApolloClient(token?: string) {
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  const socket = createClient({
    url: `${GATEWAY.replace(/^http/, 'ws')}/graphql`,
    connectionParams: headers,
    // The links below try again: this client would begin anew, not where the events broke off.
    retryAttempts: 0,
  });
  return new ApolloClient({
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      ApolloLink.from([retry, resume, new GraphQLWsLink(socket)]),
      new HttpLink({ uri: `${GATEWAY}/graphql`, headers }),
    ),
    cache: new InMemoryCache(),
    // Sent as headers, for whoever looks at what which client asks for.
    clientAwareness: { name: 'apollo-example', version: '1' },
  });
}

/** Subscribes again when the connection is lost, but not when the gateway says no. */
const retry = new RetryLink({
  attempts: { max: Infinity, retryIf: (error) => !CombinedGraphQLErrors.is(error) },
  delay: { initial: 300, max: 5_000 },
});

/** Has each new try go on after the last event that came. */
const resume = new ApolloLink((operation, forward) => {
  const { afterSequence } = operation.getContext();
  if (afterSequence !== undefined) operation.variables.afterSequence = afterSequence;
  return forward(operation).pipe(
    tap(({ data }) => {
      const sequence = data?.operationStatus?.sequence;
      if (sequence !== undefined) operation.setContext({ afterSequence: sequence });
    }),
  );
});
