import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { ACCOUNT_PASSWORD, TOKEN_HEAD, plant } from './canaries.mjs';
import { CONNECT, RESUME, SIGN_UP } from './documents.mjs';
import { PASSWORD } from './demo-accounts.mjs';

/**
 * Signs a new user up by `createClient`'s kind of client.
 * `client(options)` makes that user's own client; all of them are closed by `close`.
 */
export async function newUser({ createClient, url }) {
  const clients = [];
  const client = (options) => {
    const made = createClient({ url, ...options });
    clients.push(made);
    return made;
  };
  const { signUp } = await client().mutate(SIGN_UP, {
    email: `${randomUUID()}@example.com`,
    password: ACCOUNT_PASSWORD,
  });
  assert.ok(signUp.token.startsWith(TOKEN_HEAD), 'a token is known by how it begins');
  plant('a session token', signUp.token.slice(signUp.token.lastIndexOf('.') + 1));
  return {
    ...signUp,
    client: (options) => client({ token: signUp.token, ...options }),
    close: () => Promise.all(clients.map((made) => made.close())),
  };
}

/** Starts connecting and gives the operation's id. */
export async function connect(client, username, password = PASSWORD) {
  const { connectOrangeHrm } = await client.mutate(CONNECT, { username, password });
  return connectOrangeHrm.operation.id;
}

/** Answers the question that the operation of an event asks. */
export function answer(client, { operation }, input) {
  return client.mutate(RESUME, { operationId: operation.id, infoRequestId: operation.infoRequest.id, input });
}
