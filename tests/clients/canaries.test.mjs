import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as sse from './clients/sse.mjs';
import * as canaries from './lib/canaries.mjs';
import * as demo from './lib/demo-accounts.mjs';
import { all } from './lib/expect.mjs';
import { follow } from './lib/follow.mjs';
import { startGateway } from './lib/gateway.mjs';
import { connect, newUser } from './lib/user.mjs';

// What is found must be findable: a sieve with a hole would pass everything.
for (const [kind, secret] of [
  ["an account's password", canaries.ACCOUNT_PASSWORD],
  ["an account's password, wrongly typed", canaries.WRONG_ACCOUNT_PASSWORD],
  ['an OrangeHRM password', demo.PASSWORD],
  ['a wrong OrangeHRM password', demo.WRONG_PASSWORD],
  ['a passcode', demo.PASSCODE],
  ['a wrong passcode', demo.WRONG_PASSCODE],
  ["Intuned's API key", canaries.API_KEY],
  ['the secret that signs sessions', canaries.AUTH_SECRET],
  ['the secret that signs webhooks', canaries.WEBHOOK_SECRET],
  ["the database's password", canaries.DATABASE_PASSWORD],
  ['a session token', `${canaries.TOKEN_HEAD}eyJzdWIiOiIxIn0.c2lnbmF0dXJl`],
]) {
  test(`${kind} is found, and not repeated`, () => {
    for (const content of [`input=${secret}`, `{"a":"${secret}"}`, Buffer.from(`\xff\0${secret}\0\x81`, 'latin1')]) {
      assert.deepEqual(canaries.leaks([['there', content]]), [`${kind} in there`]);
    }
    assert.throws(() => canaries.expectNoLeaks([['here', ''], ['there', secret]]), (error) => {
      assert.equal(error.message, `secrets leaked: ${kind} in there`);
      return true;
    });
  });
}

test('what is no secret is not taken for one', () => {
  canaries.expectNoLeaks([['a log', '2026-11-21T10:00:00.123456Z TRACE took 0.123456 s, id 7d123456-123456ab']]);
});

test('what a gateway shows is found wherever that is', { timeout: 90_000 }, async () => {
  const gateway = await startGateway();
  const user = await newUser({ createClient: sse.createClient, url: gateway.url });
  const client = user.client();
  await all(follow(client, await connect(client, demo.PLAIN)));
  await user.close();
  // All of these are shown, and for good reasons: were they secrets, they would have leaked.
  canaries.plant('a word of the log', 'answered');
  canaries.plant('a detail of the log', ' DEBUG ');
  canaries.plant('the name of a metric', 'requests_total');
  canaries.plant('an address', user.user.email);
  await assert.rejects(gateway.stop(), ({ message }) => {
    for (const leak of [
      'a word of the log in stderr',
      'a detail of the log in stderr',
      'the name of a metric in the metrics',
    ]) {
      assert.ok(message.includes(leak), message);
    }
    assert.match(message, /an address in the (database|file gateway\.sqlite)/);
    assert.ok(!message.includes(user.user.email));
    return true;
  });
});
