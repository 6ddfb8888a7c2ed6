import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ACCOUNT_PASSWORD, WRONG_ACCOUNT_PASSWORD } from '../clients/lib/canaries.mjs';
import {
  PASSCODE, PASSWORD, PLAIN, WITH_CHOICE, WITH_PASSCODE, WRONG_PASSCODE, WRONG_PASSWORD,
} from '../clients/lib/demo-accounts.mjs';
import { startGateway } from '../clients/lib/gateway.mjs';
import { expectAccessible } from './lib/axe.mjs';
import { openPage, startBrowser } from './lib/browser.mjs';
import { apart, claims, connect, heading, signUp } from './lib/console.mjs';

describe('The console', { timeout: 300_000 }, () => {
  let gateway;
  let origin;
  let browser;
  before(async () => {
    gateway = await startGateway({ env: { SIMULATOR_DELAY_SCALE: '0.15' } });
    ({ origin } = new URL(gateway.url));
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await gateway?.stop();
  });

  /** A test with a page of its own, in which nothing may go wrong that the test did not provoke. */
  function onPage(name, body, options) {
    test(name, { timeout: 60_000 }, async (context) => {
      const { page, complaints } = await openPage(browser, origin, { locale: 'en-GB', ...options });
      context.after(() => page.context().close());
      await body(page, complaints);
      assert.deepEqual(complaints, []);
    });
  }

  for (const [name, options] of [
    ['on a desktop', {}],
    ['on a phone in the dark', { viewport: { width: 390, height: 780 }, colorScheme: 'dark' }],
  ]) {
    onPage(`from a new account to claims, ${name}`, async (page) => {
      await page.goto(origin);
      await heading(page, 'Your OrangeHRM claims').waitFor();
      await expectAccessible(page, 'the sign-in');
      await signUp(page, origin);
      await expectAccessible(page, 'the connect form');

      await page.getByRole('button', { name: `Fill in ${PLAIN}` }).click();
      assert.equal(await page.getByLabel('OrangeHRM username').inputValue(), PLAIN);
      await page.getByRole('button', { name: 'Connect', exact: true }).click();
      await heading(page, 'Connecting OrangeHRM').waitFor();
      await page.getByRole('progressbar', { name: 'Signing in' }).waitFor();
      assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Connecting OrangeHRM');
      await page.getByRole('main').getByText('Handing the sign-in to Intuned.').first().waitFor();
      await page.getByText(/\d s · asked Intuned (once|\d+ times)/).waitFor();
      await expectAccessible(page, 'the progress');

      await page.getByText('Intuned is reading your claims').waitFor();
      await claims(page);
      await page.getByText('€184.60').waitFor();
      await page.getByText('Submitted date').first().waitFor();
      assert.equal(await page.getByText('Euro', { exact: true }).count(), 0);
      await expectAccessible(page, 'the claims');

      await page.getByRole('button', { name: 'Refresh' }).click();
      await page.getByRole('progressbar', { name: 'Reading claims' }).waitFor();
      await page.getByRole('progressbar', { name: 'Reading claims' }).waitFor({ state: 'detached' });
      await claims(page);
    }, options);
  }

  test('is served safely, compressed, and to be kept where its name says what it holds', async () => {
    const page = await fetch(origin);
    const policy = page.headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'; script-src 'self';/);
    assert.doesNotMatch(policy, /script-src[^;]*unsafe|https?:/);
    assert.equal(page.headers.get('cache-control'), 'no-cache');
    const [script] = /\/assets\/console-[^"]+\.js/.exec(await page.text());
    for (const [accepted, encoding] of [['gzip, br', 'br'], ['gzip', 'gzip'], ['identity', null]]) {
      const asset = await fetch(origin + script, { headers: { 'accept-encoding': accepted } });
      assert.equal(asset.status, 200);
      assert.equal(asset.headers.get('content-encoding'), encoding);
      assert.equal(asset.headers.get('content-type'), 'text/javascript');
      assert.match(asset.headers.get('cache-control'), /max-age=31536000, immutable/);
      assert.match(await asset.text(), /^import|^const|^var|^\w/);
    }
  });

  onPage('signs out and in again, and says what is wrong', async (page) => {
    const email = await signUp(page, origin);
    const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
    assert.ok(!stored.includes('eyJ'), 'no token within reach of scripts');

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();

    await page.getByLabel('Email').fill(email);
    await page.getByLabel('Password', { exact: true }).fill(WRONG_ACCOUNT_PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('Email address or password is wrong.').waitFor();
    await expectAccessible(page, 'a failed sign-in');
    await page.getByLabel('Password', { exact: true }).fill(ACCOUNT_PASSWORD);
    await page.keyboard.press('Enter');
    await heading(page, 'Connect OrangeHRM').waitFor();
  });

  onPage('asks for a passcode, again after a wrong one', async (page) => {
    await signUp(page, origin);
    await connect(page, { username: WITH_PASSCODE, password: PASSWORD });
    const passcode = page.getByLabel('Enter the passcode that was sent to you');
    await passcode.waitFor();
    await page.waitForFunction(() => document.activeElement?.getAttribute('name') === 'passcode');
    await announced(page, 'Enter the passcode that was sent to you');
    await expectAccessible(page, 'the passcode form');
    await page.keyboard.type(WRONG_PASSCODE);
    await page.keyboard.press('Enter');
    await page.getByText('You are asked again').waitFor();
    assert.equal(await passcode.inputValue(), '');
    await expectAccessible(page, 'the passcode form once more');
    await passcode.fill(PASSCODE);
    await page.keyboard.press('Enter');
    await claims(page);
  });

  onPage('offers the choices, by keyboard alone', async (page) => {
    await signUp(page, origin);
    await connect(page, { username: WITH_CHOICE, password: PASSWORD });
    await page.getByRole('radiogroup', { name: 'How do you want to receive the passcode?' }).waitFor();
    await expectAccessible(page, 'the choices');
    await page.waitForFunction(() => document.activeElement?.getAttribute('type') === 'radio');
    await page.keyboard.press('ArrowDown');
    assert.ok(await page.getByLabel('Email', { exact: true }).isChecked());
    await page.keyboard.press('Enter');
    await page.getByLabel('Enter the passcode').fill(PASSCODE);
    await page.keyboard.press('Enter');
    await claims(page);
  });

  onPage('says what to do about a rejected sign-in', async (page) => {
    await signUp(page, origin);
    await connect(page, { username: PLAIN, password: WRONG_PASSWORD });
    const alert = page.getByRole('alert');
    await alert.getByText('Check what you typed and connect again').waitFor();
    await expectAccessible(page, 'a rejection');
    await page.getByRole('button', { name: 'Change the sign-in' }).click();
    await connect(page, { username: PLAIN, password: PASSWORD });
    await claims(page);
  });

  onPage('gives up when told to', async (page) => {
    await signUp(page, origin);
    await connect(page, { username: 'slow', password: PASSWORD });
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('You gave up this sign-in.').first().waitFor();
    await page.getByRole('button', { name: 'Try again' }).click();
    await heading(page, 'Connect OrangeHRM').waitFor();
  });

  onPage('disconnects after a question', async (page) => {
    await signUp(page, origin);
    await connect(page, { username: PLAIN, password: PASSWORD });
    await claims(page);
    await page.getByRole('button', { name: 'Disconnect' }).click();
    const dialog = page.getByRole('dialog', { name: 'Disconnect OrangeHRM?' });
    await dialog.waitFor();
    await expectAccessible(page, 'the question');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await claims(page);
    await page.getByRole('button', { name: 'Disconnect' }).click();
    await dialog.getByRole('button', { name: 'Disconnect' }).click();
    await heading(page, 'Connect OrangeHRM').waitFor();
  });

  onPage('notices that the session was ended elsewhere', async (page) => {
    await signUp(page, origin);
    await connect(page, { username: PLAIN, password: PASSWORD });
    await claims(page);
    const user = await apart(page, gateway);
    await user('mutation { signOut { signedOut } }');
    await page.getByRole('button', { name: 'Refresh' }).click();
    await page.getByText('You are signed out.').waitFor();
  });

  onPage('connects again what has expired', async (page) => {
    await signUp(page, origin);
    await connect(page, { username: 'expires', password: PASSWORD });
    await claims(page);
    const refresh = page.getByRole('button', { name: 'Refresh' });
    await heading(page, 'Connect again').or(refresh).waitFor();
    // The session lasts for some seconds: it is looked at until it has gone.
    while (!(await heading(page, 'Connect again').isVisible())) {
      await refresh.click({ timeout: 1_000 }).catch(() => {});
    }
    await expectAccessible(page, 'an expired connection');
    await connect(page, { username: PLAIN, password: PASSWORD }, 'Reconnect');
    await heading(page, 'Reconnecting OrangeHRM').waitFor();
    await claims(page);
  });

  onPage('picks up after a reload', async (page, complaints) => {
    await signUp(page, origin);
    await connect(page, { username: WITH_PASSCODE, password: PASSWORD });
    await page.getByLabel('Enter the passcode').waitFor();
    await page.reload();
    await page.getByLabel('Enter the passcode').waitFor();
    // All that happened before is there.
    await page.getByRole('main').getByText('Handing the sign-in to Intuned.').waitFor();
    await page.getByLabel('Enter the passcode').fill(PASSCODE);
    await page.keyboard.press('Enter');
    await page.reload();
    await claims(page);
    // A reload cuts off what the page was asking for.
    const provoked = /graphql net::ERR_ABORTED$/;
    complaints.splice(0, Infinity, ...complaints.filter((complaint) => !provoked.test(complaint)));
  });

  onPage('agrees with itself in two tabs', async (page) => {
    await signUp(page, origin);
    const other = await page.context().newPage();
    await other.goto(origin);
    await heading(other, 'Connect OrangeHRM').waitFor();

    await connect(page, { username: WITH_PASSCODE, password: PASSWORD });
    await other.getByLabel('Enter the passcode').fill(PASSCODE);
    await other.keyboard.press('Enter');
    await Promise.all([claims(page), claims(other)]);

    await page.getByRole('button', { name: 'Disconnect' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click();
    await heading(other, 'Connect OrangeHRM').waitFor();

    await other.getByRole('button', { name: 'Sign out' }).click();
    await heading(page, 'Your OrangeHRM claims').waitFor();
  });

  for (const [name, answer, expected] of [
    ['nothing', [], ['No claims yet']],
    ['a list in a field', { claims: [{ ref: 'A-1', paid: true, tags: ['x', 'y'] }], count: 1 }, ['A-1', 'Yes', 'x, y', 'Count']],
    ['another currency', [{ id: 7, total: 12.5, currency: 'USD', submittedAt: '2026-11-21T10:00:00Z' }], ['US$12.50', '21 Nov 2026']],
    ['an object', { person: { name: 'Ada', age: 36 }, deep: [{ a: [1] }, 2] }, ['Name: Ada, Age: 36', '"a"']],
    ['words', 'no claims here', ['no claims here']],
    ['rows of different shape', [{ a: 1 }, { b: { c: [{}] } }], ['A', 'B']],
  ]) {
    onPage(`shows ${name} decently`, async (page) => {
      await page.route('**/graphql', async (route) => {
        if (route.request().postDataJSON()?.operationName !== 'Claims') return route.fallback();
        const response = await route.fetch();
        const json = await response.json();
        json.data.me.connection.claims = answer;
        return route.fulfill({ response, json });
      });
      await signUp(page, origin);
      await connect(page, { username: PLAIN, password: PASSWORD });
      for (const text of expected) await page.getByRole('main').getByText(text).first().waitFor();
      await expectAccessible(page, name);
    });
  }
});

async function announced(page, text) {
  await page.getByTestId('announcer').getByText(text).waitFor({ state: 'attached' });
}
