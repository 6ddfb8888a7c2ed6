import { createClient } from 'graphql-ws';
import { Client, fetchExchange, subscriptionExchange } from 'urql';
import { noteChange } from './changes';
import { beforeRetry, report } from './reach';

const url = new URL('/graphql', window.location.href);
const socketUrl = new URL(url);
socketUrl.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';

const SESSION_ENDED = 4403;
const PONG_WITHIN_MS = 5_000;

let overdue: ReturnType<typeof setTimeout>;

/** Opened when something is followed, closed after that. Comes back for as long as it is needed. */
const socket = createClient({
  url: socketUrl.href,
  retryAttempts: Infinity,
  shouldRetry: () => true,
  retryWait: beforeRetry,
  keepAlive: 10_000,
  on: {
    connected: () => {
      report('socket', true);
      report('requests', true);
    },
    closed: (event) => {
      clearTimeout(overdue);
      if (!(event instanceof CloseEvent) || event.code === 1000) return;
      report('socket', false);
      if (event.code === SESSION_ENDED) noteChange();
    },
    ping: (received) => {
      if (!received) overdue = setTimeout(() => socket.terminate(), PONG_WITHIN_MS);
    },
    pong: (received) => {
      if (received) clearTimeout(overdue);
    },
  },
});
// A socket does not notice by itself for a long time.
window.addEventListener('offline', () => socket.terminate());

/** Sends a request, and tells whether the gateway was reached. */
export const send: typeof fetch = async (input, init) => {
  try {
    const response = await fetch(input, init);
    report('requests', true);
    return response;
  } catch (error) {
    report('requests', false);
    throw error;
  }
};

/** Without a cache: what is shown is asked for, and asked for anew when it may have changed. */
export const client = new Client({
  url: url.href,
  preferGetMethod: false,
  // The session stays in a cookie, where no script can read it.
  fetchOptions: { headers: { 'x-session': 'cookie' } },
  fetch: send,
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query = '', variables }) => ({
        subscribe: (sink) => {
          const unsubscribe = socket.subscribe({ query, variables }, sink);
          return {
            unsubscribe: () => {
              unsubscribe();
              // Nothing needs it any more.
              report('socket', true);
            },
          };
        },
      }),
    }),
  ],
});
