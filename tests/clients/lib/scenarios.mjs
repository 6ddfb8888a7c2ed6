import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startCuttingProxy } from './cutting-proxy.mjs';
import * as demo from './demo-accounts.mjs';
import { CANCEL, CLAIMS, DISCONNECT, ME, SIGN_OUT } from './documents.mjs';
import { all, expectChangesFrom, expectFollowedToEnd } from './expect.mjs';
import { follow, followThroughCuts } from './follow.mjs';
import { gatewayForSuite } from './gateway.mjs';
import { answer, connect, newUser } from './user.mjs';

/**
 * What every kind of client must see.
 * @param {{name: string, createClient: Function}} kind one of ../clients
 */
export function clientScenarios({ name, createClient }) {
  describe(name, { timeout: 300_000 }, () => {
    let gateway;
    before(async () => { gateway = await gatewayForSuite(); });
    after(() => gateway?.stop());

    /** A test with a new user, whose clients are closed when it ends. */
    const scenario = (title, body) =>
      test(title, { timeout: 90_000 }, async (context) => {
        const user = await newUser({ createClient, url: gateway.url });
        context.after(() => user.close());
        await body(user, user.client(), context);
      });

    scenario('follows a sign-in from the snapshot to its end, then reads the claims', async (user, client) => {
      const id = await connect(client, demo.PLAIN);
      const { me } = await client.query(ME);
      assert.equal(me.id, user.user.id);
      assert.equal(me.activeOperation.id, id);

      const events = await all(follow(client, id));
      expectFollowedToEnd(events, 'DONE');
      assert.ok(events.some((event) => event.kind === 'PROGRESS'), 'polls are shown');
      assert.ok(events.at(-1).operation.connection, 'it made a connection');

      const { connection } = (await client.query(CLAIMS)).me;
      assert.equal(connection.status, 'READY');
      assert.ok(Array.isArray(connection.claims) && connection.claims.length > 0, 'there are claims');
    });

    scenario('answers a passcode', async (user, client) => {
      const id = await connect(client, demo.WITH_PASSCODE);
      const events = await answerAll(client, id, (request) => {
        assert.equal(request.__typename, 'OtpRequest');
        return demo.PASSCODE;
      });
      expectFollowedToEnd(events, 'DONE');
      assert.equal(questions(events).length, 1);
    });

    scenario('is asked again after a wrong passcode', async (user, client) => {
      const id = await connect(client, demo.WITH_PASSCODE);
      const passcodes = [demo.WRONG_PASSCODE, demo.PASSCODE];
      const events = await answerAll(client, id, () => passcodes.shift());
      expectFollowedToEnd(events, 'DONE');
      assert.equal(questions(events).length, 2);
    });

    scenario('answers a choice, then a passcode', async (user, client) => {
      const id = await connect(client, demo.WITH_CHOICE);
      const events = await answerAll(client, id, (request) =>
        request.__typename === 'ChoiceRequest' ? request.choices[0] : demo.PASSCODE);
      expectFollowedToEnd(events, 'DONE');
      assert.deepEqual(questions(events).map((request) => request.__typename), ['ChoiceRequest', 'OtpRequest']);
    });

    scenario('is told that a sign-in was rejected', async (user, client) => {
      const id = await connect(client, demo.PLAIN, demo.WRONG_PASSWORD);
      const events = await all(follow(client, id));
      expectFollowedToEnd(events, 'FAILED');
      assert.equal(events.at(-1).operation.failure.code, 'SIGN_IN_REJECTED');
      assert.equal((await client.query(CLAIMS)).me.connection, null);
    });

    scenario('gives up an operation that waits for a passcode', async (user, client) => {
      const id = await connect(client, demo.WITH_PASSCODE);
      const events = [];
      for await (const event of follow(client, id)) {
        events.push(event);
        if (asks(event)) await client.mutate(CANCEL, { operationId: id });
      }
      expectFollowedToEnd(events, 'CANCELED');
      assert.equal(events.at(-1).operation.failure.code, 'CANCELED_BY_USER');
    });

    scenario('reads every change of an operation that has ended', async (user, client) => {
      const id = await connect(client, demo.PLAIN);
      await all(follow(client, id));

      expectChangesFrom(1, await all(follow(client, id, 0)), 'DONE');
      expectChangesFrom(2, await all(follow(client, id, 1)), 'DONE');
      const [snapshot, ...rest] = await all(follow(client, id));
      assert.equal(snapshot.kind, 'SNAPSHOT');
      assert.equal(snapshot.status, 'DONE');
      assert.deepEqual(rest, []);
    });

    scenario('sees every change once although the connection is cut', async (user, client, context) => {
      const proxy = await startCuttingProxy(gateway.url);
      context.after(() => proxy.stop());
      const cutClient = user.client({ url: proxy.url });

      const id = await connect(client, demo.WITH_CHOICE);
      const events = [];
      let cuts = 0;
      for await (const event of followThroughCuts(cutClient, id)) {
        events.push(event);
        if (event.kind !== 'CHANGE') continue;
        // The answer goes round the proxy, and what it brings about happens while nobody listens.
        if (asks(event)) await answer(client, event, rightAnswer(event.operation.infoRequest));
        proxy.cut();
        cuts += 1;
      }
      assert.ok(cuts >= 3, `was cut ${cuts} times`);
      expectChangesFrom(1, events, 'DONE');
    });

    scenario("does not see another user's operation", async (user, client, context) => {
      const other = await newUser({ createClient, url: gateway.url });
      context.after(() => other.close());
      const id = await connect(client, demo.PLAIN);
      await assert.rejects(all(follow(other.client(), id)), { name: 'RequestError', code: 'NOT_FOUND' });
      await all(follow(client, id));
    });

    scenario('is told at once what is wrong with a request', async (user, client) => {
      const id = await connect(client, demo.WITH_PASSCODE);
      await assert.rejects(connect(client, demo.PLAIN), (error) => {
        assert.equal(error.code, 'OPERATION_IN_PROGRESS');
        assert.equal(error.extensions.operationId, id);
        return true;
      });
      await client.mutate(CANCEL, { operationId: id });
      await assert.rejects(connect(user.client({ token: undefined }), demo.PLAIN), { code: 'UNAUTHENTICATED' });
    });

    scenario('disconnects, and again', async (user, client) => {
      await all(follow(client, await connect(client, demo.PLAIN)));
      assert.equal((await client.mutate(DISCONNECT)).disconnectOrangeHrm.disconnected, true);
      assert.equal((await client.query(CLAIMS)).me.connection, null);
      assert.equal((await client.mutate(DISCONNECT)).disconnectOrangeHrm.disconnected, false);
    });

    scenario('is signed out everywhere at once', async (user, client) => {
      const id = await connect(client, demo.WITH_PASSCODE);
      const events = follow(client, id);
      await events.next();
      const { signOut } = await user.client().mutate(SIGN_OUT);
      assert.equal(signOut.signedOut, true);

      // Clients show it differently, as an error or as an end; what matters is that it is over.
      await all(events).catch(() => {});
      if (client.closed) assert.equal((await client.closed).code, 4403);
      assert.equal((await client.query(ME)).me, null);
    });
  });
}

const asks = (event) => event.kind !== 'PROGRESS' && event.operation.infoRequest !== null;

/** Each question that was asked, once, in order. */
function questions(events) {
  const requests = events.filter(asks).map((event) => event.operation.infoRequest);
  return [...new Map(requests.map((request) => [request.id, request])).values()];
}

const rightAnswer = (request) => (request.__typename === 'ChoiceRequest' ? request.choices[0] : demo.PASSCODE);

/** Follows an operation and answers each of its questions with what `reply` makes of it. */
async function answerAll(client, id, reply) {
  const events = [];
  const answered = new Set();
  for await (const event of follow(client, id)) {
    events.push(event);
    const request = event.operation.infoRequest;
    if (asks(event) && !answered.has(request.id)) {
      answered.add(request.id);
      await answer(client, event, reply(request));
    }
  }
  return events;
}
