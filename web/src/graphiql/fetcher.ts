import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit';
import { createClient } from 'graphql-ws';

const url = new URL('/graphql', window.location.href);
const socketUrl = new URL(url);
socketUrl.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';

/** Asks for sessions to be kept in the browser's cookie, which the console uses too. */
const headers = { 'x-session': 'cookie' };

/**
 * Queries and mutations over HTTP, subscriptions over graphql-transport-ws. A socket cannot be opened
 * with headers, so what stands in the headers editor goes into its connection_init.
 */
export const fetcher: Fetcher = (params, options) => {
  // Opens its socket when it is first used and closes it after that: one for each subscription.
  const wsClient = createClient({
    url: socketUrl.href,
    connectionParams: lowerCaseNames(options?.headers ?? {}),
  });
  return createGraphiQLFetcher({ url: url.href, headers, wsClient })(params, options);
};

/** Names of headers are the same in any case; those of connection_init are not. */
function lowerCaseNames(headers: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
