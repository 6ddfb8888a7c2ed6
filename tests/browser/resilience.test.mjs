import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PASSCODE, PASSWORD, PLAIN, WITH_PASSCODE } from '../clients/lib/demo-accounts.mjs';
import { startGateway, startSimulator } from '../clients/lib/gateway.mjs';
import { openPage, startBrowser } from './lib/browser.mjs';
import { apart, claims, connect, heading, signUp } from './lib/console.mjs';

const LOST = 'The connection to the gateway is lost.';
const OFFLINE = 'You are offline.';

// What a browser says of a gateway that is away.
const PROVOKED = /ERR_(CONNECTION|INTERNET|EMPTY|SOCKET|ABORTED)|WebSocket connection to/;

describe('The console, when the connection is lost', { timeout: 300_000 }, () => {
  let simulator;
  let browser;
  before(async () => {
    simulator = await startSimulator();
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await simulator?.stop();
  });

  /** A test with a gateway and a page of its own, in which nothing else may go wrong. */
  function onPage(name, body) {
    test(name, { timeout: 90_000 }, async (context) => {
      const gateway = await startGateway({ env: simulator.settings });
      context.after(() => gateway.stop());
      const { origin } = new URL(gateway.url);
      const { page, complaints } = await openPage(browser, origin);
      context.after(() => page.context().close());
      await signUp(page, origin);
      await body(page, gateway);
      assert.deepEqual(complaints.filter((complaint) => !PROVOKED.test(complaint)), []);
    });
  }

  onPage('goes on after the gateway was killed and started again', async (page, gateway) => {
    assert.equal(await page.getByText('Demo accounts to try').count(), 0, 'not in earnest');
    await connect(page, { username: PLAIN, password: PASSWORD });
    await page.getByRole('progressbar', { name: 'Signing in' }).waitFor();
    await gateway.kill();
    await page.getByText(LOST).waitFor();
    await gateway.restart();
    await page.getByText(LOST).waitFor({ state: 'detached' });
    await claims(page);
  });

  onPage('keeps the question while the gateway is away', async (page, gateway) => {
    await connect(page, { username: WITH_PASSCODE, password: PASSWORD });
    const passcode = page.getByLabel('Enter the passcode');
    await passcode.fill(PASSCODE);
    await gateway.kill();
    await page.getByText(LOST).waitFor();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText('The gateway cannot be reached.').waitFor();
    assert.equal(await passcode.inputValue(), PASSCODE);
    await gateway.restart();
    await page.getByText(LOST).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Continue' }).click();
    await claims(page);
  });

  onPage('misses no change while it is offline', async (page, gateway) => {
    const user = await apart(page, gateway);
    await connect(page, { username: WITH_PASSCODE, password: PASSWORD });
    await heading(page, 'Connecting OrangeHRM').waitFor();
    await page.getByRole('main').getByText('Handing the sign-in to Intuned.').first().waitFor();
    await page.context().setOffline(true);
    await page.getByText(OFFLINE).waitFor();
    await waitForQuestion(user);
    await page.context().setOffline(false);
    await page.getByText(OFFLINE).waitFor({ state: 'detached' });
    await page.getByLabel('Enter the passcode').waitFor();
    for (const change of ['Handing the sign-in', 'Intuned has taken the sign-in', 'The sign-in is waiting']) {
      assert.equal(await page.getByRole('region', { name: 'What has happened' }).getByText(change).count(), 1, change);
    }
    await page.getByLabel('Enter the passcode').fill(PASSCODE);
    await page.keyboard.press('Enter');
    await claims(page);
  });

  onPage('keeps claims when the status cannot be asked for', async (page) => {
    await connect(page, { username: PLAIN, password: PASSWORD });
    await claims(page);
    let runs = 0;
    await page.route('**/graphql', async (route) => {
      const operation = route.request().postDataJSON()?.operationName;
      if (operation === 'Claims') runs += 1;
      if (operation !== 'ConnectionState') return route.fallback();
      const response = await route.fetch();
      const answer = await response.json();
      answer.data.me.connection.status = null;
      answer.errors = [{ message: 'Wait a while.', path: ['me', 'connection', 'status'], extensions: { code: 'RATE_LIMITED' } }];
      return route.fulfill({ response, json: answer });
    });
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await page.getByRole('alert').filter({ hasText: /wait/i }).waitFor();
    await claims(page);
    assert.equal(runs, 0);
  });

  onPage('connects once although the answer was lost', async (page) => {
    let sent = 0;
    await page.route('**/graphql', async (route) => {
      if (route.request().postDataJSON()?.operationName !== 'Connect') return route.fallback();
      sent += 1;
      if (sent > 1) return route.fallback();
      await route.fetch();
      return route.abort('connectionreset');
    });
    await connect(page, { username: PLAIN, password: PASSWORD });
    // The operation is found although the page was never told of it.
    await claims(page);
    assert.equal(sent, 1);
  });
});

async function waitForQuestion(user) {
  while ((await user('{ me { activeOperation { status } } }')).me.activeOperation.status !== 'REQUESTED_MORE_INFO') {
    await delay(50);
  }
}
