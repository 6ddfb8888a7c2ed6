import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ACCOUNT_PASSWORD } from '../clients/lib/canaries.mjs';
import { PASSWORD, PLAIN } from '../clients/lib/demo-accounts.mjs';
import { CONNECT, ME, OPERATION_STATUS, SIGN_UP } from '../clients/lib/documents.mjs';
import { gatewayForSuite } from '../clients/lib/gateway.mjs';
import { openPage, startBrowser } from './lib/browser.mjs';
import { signUp as signUpInConsole } from './lib/console.mjs';

describe('GraphiQL', { timeout: 180_000 }, () => {
  let gateway;
  let browser;
  before(async () => {
    gateway = await gatewayForSuite();
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await gateway?.stop();
  });

  test('runs queries, mutations and a subscription, with nothing from elsewhere', { timeout: 120_000 }, async () => {
    const { origin } = new URL(gateway.url);
    const { page, complaints } = await openPage(browser, origin);
    const sockets = [];
    page.on('websocket', (socket) => sockets.push(socket.url()));

    await page.goto(`${origin}/graphiql`);
    await page.getByText('mutation SignUp').first().waitFor();
    await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
    await page.getByText('Root Types').waitFor();

    const email = `${randomUUID()}@example.com`;
    const { signUp } = await run(page, SIGN_UP, { email, password: ACCOUNT_PASSWORD });
    assert.equal(signUp.user.email, email);

    await write(page, 'Headers', JSON.stringify({ Authorization: `Bearer ${signUp.token}` }));
    const { me } = await run(page, ME);
    assert.equal(me.email, email);

    const { connectOrangeHrm } = await run(page, CONNECT, { username: PLAIN, password: PASSWORD });
    await fill(page, OPERATION_STATUS, { operationId: connectOrangeHrm.operation.id });
    await page.keyboard.press('Control+Enter');
    await page.locator('.graphiql-response').getByText('"DONE"').first().waitFor({ timeout: 60_000 });

    assert.deepEqual(sockets, [`${origin.replace(/^http/, 'ws')}/graphql`]);
    assert.deepEqual(complaints, []);
  });

  test('is signed in as the console is', { timeout: 120_000 }, async () => {
    const { origin } = new URL(gateway.url);
    const { page, complaints } = await openPage(browser, origin);
    const email = await signUpInConsole(page, origin);
    await page.getByRole('link', { name: 'GraphiQL' }).click();
    await page.getByText('mutation SignUp').first().waitFor();

    assert.equal((await run(page, ME)).me.email, email);
    const { connectOrangeHrm } = await run(page, CONNECT, { username: PLAIN, password: PASSWORD });
    await fill(page, OPERATION_STATUS, { operationId: connectOrangeHrm.operation.id });
    await page.keyboard.press('Control+Enter');
    await page.locator('.graphiql-response').getByText('"DONE"').first().waitFor({ timeout: 60_000 });

    // And the console as GraphiQL is.
    const { signUp } = await run(page, SIGN_UP, { email: `${randomUUID()}@example.com`, password: ACCOUNT_PASSWORD });
    await page.goto(origin);
    await page.getByText(signUp.user.email).waitFor();
    assert.deepEqual(complaints, []);
  });
});

/** Runs an operation as a user would and gives the data of its answer. */
async function run(page, document, variables) {
  await fill(page, document, variables);
  const [response] = await Promise.all([
    page.waitForResponse((candidate) => candidate.request().postDataJSON()?.query === inOneLine(document)),
    page.keyboard.press('Control+Enter'),
  ]);
  const { data, errors } = await response.json();
  assert.equal(errors, undefined);
  return data;
}

/** Leaves the cursor in the operation. */
async function fill(page, document, variables) {
  await write(page, 'Variables', variables ? JSON.stringify(variables) : '');
  await replace(page, page.locator('.graphiql-query-editor'), inOneLine(document));
  // The tab is named once the editor has understood what was typed.
  const [, operation] = /(?:query|mutation|subscription) (\w+)/.exec(document);
  await page.getByRole('tab', { name: operation, exact: true }).waitFor();
}

/** The editor would indent each new line, and close a second time what the line opens. */
const inOneLine = (document) => document.trim().replaceAll(/\s+/g, ' ');

async function write(page, tool, text) {
  await page.getByRole('button', { name: tool, exact: true }).click();
  await replace(page, page.locator('.graphiql-editor-tool'), text);
}

async function replace(page, pane, text) {
  await pane.locator('.monaco-editor:visible').first().click();
  await page.keyboard.press('Control+A');
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(text);
}
