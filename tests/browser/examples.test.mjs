import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ACCOUNT_PASSWORD } from '../clients/lib/canaries.mjs';
import { PASSCODE, PASSWORD, PLAIN, WITH_CHOICE, WRONG_PASSWORD } from '../clients/lib/demo-accounts.mjs';
import { startGateway, startSimulator } from '../clients/lib/gateway.mjs';
import { openPage, startBrowser } from './lib/browser.mjs';
import { startStaticServer } from './lib/static-server.mjs';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));

for (const name of ['apollo', 'urql']) {
  describe(`The ${name} example, at an origin of its own`, { timeout: 240_000 }, () => {
    let folder;
    let pages;
    let simulator;
    let gateway;
    let browser;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), `example-${name}-`));
      pages = await startStaticServer(folder);
      simulator = await startSimulator();
      gateway = await startGateway({ env: { ...simulator.settings, ALLOWED_ORIGINS: pages.origin } });
      await build(name, folder, new URL(gateway.url).origin);
      browser = await startBrowser();
    });
    after(async () => {
      await browser?.close();
      await gateway?.stop();
      await simulator?.stop();
      await pages?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    async function open(context) {
      const opened = await openPage(browser, [pages.origin, new URL(gateway.url).origin]);
      context.after(() => opened.page.context().close());
      await opened.page.goto(pages.origin);
      await send(opened.page, { Email: `${randomUUID()}@example.com`, Password: ACCOUNT_PASSWORD }, 'Sign up');
      await opened.page.getByLabel('Username').waitFor();
      return opened;
    }

    test('goes from a new account through choice and passcode to claims', { timeout: 60_000 }, async (context) => {
      const { page, complaints } = await open(context);
      await send(page, { Username: WITH_CHOICE, Password: PASSWORD }, 'Connect');
      await page.getByRole('button', { name: 'Email' }).click();
      await send(page, { 'Enter the passcode': PASSCODE }, 'Send');
      await page.getByText('Train to the customer in Lyon').waitFor();
      assert.deepEqual(complaints, []);
    });

    test('sees every change once although the gateway is killed', { timeout: 60_000 }, async (context) => {
      const { page } = await open(context);
      await send(page, { Username: 'passcode', Password: PASSWORD }, 'Connect');
      await page.getByText('PENDING').waitFor();
      await gateway.kill();
      await gateway.restart();
      await send(page, { 'Enter the passcode': PASSCODE }, 'Send');
      // The last change shows for a moment only, so the list is read before it.
      const seen = await page.getByRole('list', { name: 'Changes' }).getByRole('listitem').evaluateAll((items) =>
        items.map((item) => item.value));
      assert.deepEqual(seen, seen.map((_, index) => index + 1));
      assert.ok(seen.length >= 3);
      await page.getByText('Train to the customer in Lyon').waitFor();
    });

    test('says what was refused', { timeout: 60_000 }, async (context) => {
      const { page, complaints } = await open(context);
      await send(page, { Username: PLAIN, Password: WRONG_PASSWORD }, 'Connect');
      await page.getByRole('alert').getByText('Check what you typed').waitFor();
      await send(page, { Username: PLAIN, Password: PASSWORD }, 'Connect');
      await page.getByText('Train to the customer in Lyon').waitFor();
      // urql drops a query that is asked anew before its answer is there.
      assert.deepEqual(complaints.filter((complaint) => !complaint.endsWith('ERR_ABORTED')), []);
    });
  });
}

async function send(page, values, button) {
  for (const [label, value] of Object.entries(values)) await page.getByLabel(label).fill(value);
  await page.getByRole('button', { name: button, exact: true }).click();
}

async function build(name, outDir, gatewayUrl) {
  const env = { ...process.env, VITE_GATEWAY_URL: gatewayUrl };
  const run = promisify(execFile);
  await run('npm', ['run', 'build', '--', '--outDir', outDir, '--emptyOutDir'], { cwd: join(EXAMPLES, name), env });
}
