import { createClient as createSseClient } from 'graphql-sse';
import { RequestError } from '../lib/request-error.mjs';
import { bearer } from '../lib/socket.mjs';

export const name = 'graphql-sse';

/** Server-sent events, one connection for each subscription; everything else by plain fetch. */
export function createClient({ url, token, retryAttempts = 0 }) {
  const events = createSseClient({ url, headers: bearer(token), retryAttempts });

  return {
    query: post,
    mutate: post,
    async *subscribe(query, variables) {
      for await (const { data, errors } of events.iterate({ query, variables })) {
        if (errors) throw new RequestError(errors);
        yield data;
      }
    },
    close: () => events.dispose(),
  };

  async function post(query, variables) {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json, application/json',
        ...bearer(token),
      },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await response.json();
    if (errors) throw new RequestError(errors);
    return data;
  }
}
