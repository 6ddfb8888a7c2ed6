import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as apollo from './clients/apollo.mjs';
import * as sse from './clients/sse.mjs';
import * as urql from './clients/urql.mjs';
import * as demo from './lib/demo-accounts.mjs';
import { CLAIMS } from './lib/documents.mjs';
import { expectChangesFrom } from './lib/expect.mjs';
import { followThroughCuts } from './lib/follow.mjs';
import { startGateway, startSimulator } from './lib/gateway.mjs';
import { answer, connect, newUser } from './lib/user.mjs';

// Each test has a gateway of its own to kill, so GATEWAY_URL is of no use here.
describe('A gateway that is killed and started again', { timeout: 300_000 }, () => {
  let simulator;
  before(async () => { simulator = await startSimulator(); });
  after(() => simulator?.stop());

  for (const { name, createClient } of [apollo, urql, sse]) {
    test(`in the middle of a sign-in: ${name} sees every change once`, { timeout: 90_000 }, async (context) => {
      const { gateway, user, client } = await start(context, createClient);
      const id = await connect(client, demo.PLAIN);

      const events = [];
      let restarted = false;
      for await (const event of followThroughCuts(client, id)) {
        events.push(event);
        if (restarted || event.status !== 'PENDING') continue;
        restarted = true;
        await gateway.kill();
        await gateway.restart();
      }
      assert.ok(restarted);
      expectChangesFrom(1, events, 'DONE');
      const { connection } = (await user.client().query(CLAIMS)).me;
      assert.equal(connection.status, 'READY');
    });
  }

  test('while the user looks for the passcode: the answer still counts', { timeout: 90_000 }, async (context) => {
    const { gateway, client } = await start(context, apollo.createClient);
    const id = await connect(client, demo.WITH_PASSCODE);

    const events = [];
    for await (const event of followThroughCuts(client, id)) {
      events.push(event);
      if (event.kind !== 'CHANGE' || event.status !== 'REQUESTED_MORE_INFO') continue;
      await gateway.kill();
      await gateway.restart();
      await answer(client, event, demo.PASSCODE);
    }
    expectChangesFrom(1, events, 'DONE');
  });

  async function start(context, createClient) {
    const gateway = await startGateway({ env: simulator.settings });
    context.after(() => gateway.stop());
    const user = await newUser({ createClient, url: gateway.url });
    context.after(() => user.close());
    return { gateway, user, client: user.client() };
  }
});
