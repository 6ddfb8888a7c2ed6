import type { FormattedExecutionResult } from 'graphql';
import { createClient } from 'graphql-ws';
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from 'urql';

const GATEWAY = import.meta.env.VITE_GATEWAY_URL ?? 'http://127.0.0.1:8080';

/** A client for whoever holds the token; for nobody without one. */
export function createUrqlClient(token?: string) {
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  const socket = createClient({
    url: `${GATEWAY.replace(/^http/, 'ws')}/graphql`,
    connectionParams: headers,
    // What is below tries again: this client would begin anew, not where the events broke off.
    retryAttempts: 0,
  });
  return new Client({
    url: `${GATEWAY}/graphql`,
    preferGetMethod: false,
    fetchOptions: { headers },
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = '', variables }) => ({
          subscribe: (sink) => ({ unsubscribe: subscribeThroughCuts(query, variables, sink) }),
        }),
      }),
    ],
  });

  /** Subscribes again when the connection is lost, after the last event that came. Ends what it returns. */
  function subscribeThroughCuts(query: string, variables: object | undefined, sink: Sink) {
    let current = { ...variables };
    let failures = 0;
    let timer: ReturnType<typeof setTimeout>;
    let unsubscribe = start();

    function start() {
      return socket.subscribe<{ operationStatus?: { sequence: number } }, Record<string, unknown>>(
        { query, variables: current },
        {
          next: (result) => {
            failures = 0;
            const sequence = result.data?.operationStatus?.sequence;
            if (sequence !== undefined) current = { ...current, afterSequence: sequence };
            sink.next(result);
          },
          error: (error) => {
            // A list of errors is the gateway's answer; anything else is a connection that broke.
            if (Array.isArray(error)) return sink.error(error);
            timer = setTimeout(() => (unsubscribe = start()), Math.min(300 * 2 ** failures++, 5_000));
          },
          complete: () => sink.complete(),
        },
      );
    }

    return () => {
      clearTimeout(timer);
      unsubscribe();
    };
  }
}

interface Sink {
  next: (result: FormattedExecutionResult) => void;
  error: (error: unknown) => void;
  complete: () => void;
}
