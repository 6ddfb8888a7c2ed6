import { randomUUID } from 'node:crypto';
import { ACCOUNT_PASSWORD } from '../../clients/lib/canaries.mjs';

/** Opens the console and an account of its own in it. */
export async function signUp(page, origin, email = `${randomUUID()}@example.com`) {
  await page.goto(origin);
  await page.getByText('Create account').first().click();
  await page.getByLabel('Email').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(ACCOUNT_PASSWORD);
  await page.getByRole('button', { name: 'Create account' }).click();
  await heading(page, 'Connect OrangeHRM').waitFor();
  return email;
}

export const heading = (page, name) => page.getByRole('heading', { name, exact: true });

/** Fills in the OrangeHRM sign-in and sends it. */
export async function connect(page, { username, password }, button = 'Connect') {
  await page.getByLabel('OrangeHRM username').fill(username);
  await page.getByLabel('OrangeHRM password', { exact: true }).fill(password);
  await page.getByRole('button', { name: button, exact: true }).click();
}

/** Waits for the claims, which are read when the account is connected. */
export async function claims(page) {
  await page.getByText('Train to the customer in Lyon').waitFor();
}

/** Asks the gateway as the page's user, but not by way of the page. */
export async function apart(page, { url }) {
  const [{ name, value }] = await page.context().cookies();
  return async (query) => {
    const headers = { 'content-type': 'application/json', cookie: `${name}=${value}` };
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query }) });
    return (await response.json()).data;
  };
}
