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

  /** Answers claims with this JSON, to the letter. */
  async function answerClaims(page, written) {
    await page.route('**/graphql', async (route) => {
      if (route.request().postDataJSON()?.operationName !== 'Claims') return route.fallback();
      const response = await route.fetch();
      const answer = await response.json();
      answer.data.me.connection.claims = 'CLAIMS';
      return route.fulfill({ response, body: JSON.stringify(answer).replace('"CLAIMS"', () => written) });
    });
    await signUp(page, origin);
    await connect(page, { username: PLAIN, password: PASSWORD });
  }

  for (const [name, answer, expected] of [
    ['nothing', [], ['No claims yet']],
    ['a list in a field', { claims: [{ ref: 'A-1', paid: true, tags: ['x', 'y'] }], count: 1 }, ['A-1', 'Yes', 'x, y', 'Count']],
    ['another currency', [{ id: 7, total: 12.5, currency: 'USD', submittedAt: '2026-11-21T10:00:00Z' }], ['US$12.50', '21 Nov 2026']],
    ['an object', { person: { name: 'Ada', age: 36 }, deep: [{ a: [1] }, 2] }, ['Name: Ada, Age: 36', '"a"']],
    ['words', 'no claims here', ['no claims here']],
    ['rows of different shape', [{ a: 1 }, { b: { c: [{}] } }], ['A', 'B']],
  ]) {
    onPage(`shows ${name} decently`, async (page) => {
      await answerClaims(page, JSON.stringify(answer));
      for (const text of expected) await page.getByRole('main').getByText(text).first().waitFor();
      await expectAccessible(page, name);
    });
  }

  const cell = (page, name) => page.getByRole('cell', { name, exact: true });

  onPage('shows numbers with the digits that they have', async (page) => {
    const digits = ['12345', '2026', '1.083456', '1.10', '-0.0', '1e400', '12345678901234567890123'];
    const fields = digits.map((number, index) => `"field${index}":${number}`);
    await answerClaims(page, `[{${fields}, "many":[1.0, 20000], "one":{"rate":2.50}, "text":"7 \\"8.0\\" \\ud83d\\ude00"}]`);
    for (const number of [...digits, '1.0, 20000', 'Rate: 2.50', '7 "8.0" \u{1F600}']) await cell(page, number).waitFor();
  });

  onPage('shows what is nested with its digits, and says where that is too deep', async (page) => {
    await answerClaims(page, `{"some":{"a":[{"b":1.10}]},"deep":${'['.repeat(5000)}1${']'.repeat(5000)}}`);
    await page.getByText('"b": 1.10').waitFor();
    await page.getByText('nested too deeply').waitFor();
  });

  onPage('shows money whole, and only money as money', async (page) => {
    await answerClaims(page, '[{"amount":1234.5,"price":1.083456,"subtotal":3,"paidYear":2026,"totalDays":12345,"currency":"Euro"}]');
    for (const text of ['€1,234.50', '€1.083456', '€3.00', '2026', '12345']) await cell(page, text).waitFor();
  });

  onPage('shows amounts without a currency as they are', async (page) => {
    await answerClaims(page, '[{"amount":12345.678,"total":2000}]');
    for (const text of ['12345.678', '2000']) await cell(page, text).waitFor();
  });

  for (const timezoneId of ['America/Los_Angeles', 'Pacific/Kiritimati']) {
    onPage(`shows days as they are in ${timezoneId}, and what is no day as text`, async (page) => {
      const days = ['2026-02-28', '2028-02-29', '2026-02-31', '2026-13-01', '2026-00-10', '2026-02-29T10:00:00Z', '2026-01-01T24:30'];
      await answerClaims(page, JSON.stringify(days.map((day, id) => ({ id, day }))));
      const shown = ['28 Feb 2026', '29 Feb 2028', ...days.slice(2)];
      for (const text of shown) await cell(page, text).waitFor();
    }, { timezoneId });
  }
});

async function announced(page, text) {
  await page.getByTestId('announcer').getByText(text).waitFor({ state: 'attached' });
}
