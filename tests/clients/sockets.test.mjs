import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import * as apollo from './clients/apollo.mjs';
import * as sse from './clients/sse.mjs';
import { startCuttingProxy } from './lib/cutting-proxy.mjs';
import * as demo from './lib/demo-accounts.mjs';
import { OPERATION_STATUS } from './lib/documents.mjs';
import { all, changes, expectChangesFrom } from './lib/expect.mjs';
import { follow } from './lib/follow.mjs';
import { gatewayForSuite } from './lib/gateway.mjs';
import { openSocket } from './lib/socket.mjs';
import { connect, newUser } from './lib/user.mjs';

describe('Sockets', { timeout: 200_000 }, () => {
  let gateway;
  before(async () => { gateway = await gatewayForSuite(); });
  after(() => gateway?.stop());

  test('50 subscribers of one operation all see the same changes', { timeout: 90_000 }, async (context) => {
    const user = await newUser({ createClient: sse.createClient, url: gateway.url });
    context.after(() => user.close());
    const client = user.client();
    const operationId = await connect(client, demo.PLAIN);

    // Four sockets with ten subscriptions each, and ten streams of server-sent events.
    const query = OPERATION_STATUS;
    const variables = { operationId, afterSequence: 0 };
    const streams = Array.from({ length: 10 }, () => all(follow(client, operationId, 0)));
    for (let count = 0; count < 4; count += 1) {
      const { socket } = openSocket({ url: gateway.url, token: user.token });
      context.after(() => socket.dispose());
      for (let each = 0; each < 10; each += 1) streams.push(operationEvents(socket, { query, variables }));
    }

    const seen = await Promise.all(streams);
    assert.equal(seen.length, 50);
    for (const events of seen) {
      expectChangesFrom(1, events, 'DONE');
      assert.deepEqual(changes(events).map(lasting), changes(seen[0]).map(lasting));
    }
  });

  test('a socket that its client closes is closed in good order', { timeout: 30_000 }, async () => {
    const socket = new WebSocket(gateway.url.replace(/^http/, 'ws'), 'graphql-transport-ws');
    await once(socket, 'open');
    socket.send(JSON.stringify({ type: 'connection_init' }));
    await once(socket, 'message');
    socket.close(1000, 'Normal Closure');
    const [code] = await once(socket, 'close');
    assert.equal(code, 1000);
  });

  test("a socket that graphql-ws reopens by itself gets the present state, then the end", { timeout: 90_000 }, async (context) => {
    const proxy = await startCuttingProxy(gateway.url);
    context.after(() => proxy.stop());
    const user = await newUser({ createClient: apollo.createClient, url: gateway.url });
    context.after(() => user.close());
    const client = user.client({ url: proxy.url, retryAttempts: 10 });

    const id = await connect(client, demo.PLAIN);
    const events = [];
    for await (const event of follow(client, id)) {
      events.push(event);
      if (events.length === 1) proxy.cut();
    }
    const snapshots = events.filter((event) => event.kind === 'SNAPSHOT');
    assert.equal(snapshots.length, 2);
    assert.ok(snapshots[1].sequence >= snapshots[0].sequence);
    assert.equal(events.at(-1).status, 'DONE');
  });
});

async function operationEvents(socket, payload) {
  const events = [];
  for await (const { data } of socket.iterate(payload)) events.push(data.operationStatus);
  return events;
}

/** What is the same of a change for everyone, whenever they read it. */
const lasting = ({ sequence, status, message, occurredAt }) => ({ sequence, status, message, occurredAt });
