import './browser-globals.mjs';
import { createClient } from 'graphql-ws';

/**
 * The graphql-transport-ws socket that Apollo Client and urql share the set-up of.
 * `closed` resolves with the first close event.
 */
export function openSocket({ url, token, retryAttempts = 0 }) {
  let onClosed;
  const closed = new Promise((resolve) => { onClosed = resolve; });
  const socket = createClient({
    url: url.replace(/^http/, 'ws'),
    connectionParams: token ? { authorization: `Bearer ${token}` } : {},
    // graphql-ws would subscribe again with the variables of the first time. A caller that counts
    // every change subscribes again by itself, from the last change that it saw: see follow.mjs.
    retryAttempts,
    on: { closed: onClosed },
  });
  return { socket, closed };
}

export const bearer = (token) => (token ? { authorization: `Bearer ${token}` } : {});
