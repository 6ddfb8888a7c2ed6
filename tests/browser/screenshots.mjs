// Usage: node screenshots.mjs FOLDER
// Takes pictures of the console's main states, with a gateway of its own in demo mode.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PASSCODE, PASSWORD, PLAIN, WITH_CHOICE, WITH_PASSCODE } from '../clients/lib/demo-accounts.mjs';
import { startGateway } from '../clients/lib/gateway.mjs';
import { openPage, startBrowser } from './lib/browser.mjs';
import { claims, connect, heading, signUp } from './lib/console.mjs';

const folder = process.argv[2];
if (!folder) throw new Error('name the folder that the pictures are for');
await mkdir(folder, { recursive: true });

const DESKTOP = { width: 1024, height: 720 };
const PHONE = { width: 390, height: 780 };

const gateway = await startGateway({ env: { INTUNED_POLL_INTERVAL: '500ms', SIMULATOR_DELAY_SCALE: '1' } });
const browser = await startBrowser();
try {
  await Promise.all([light(), dark(), phone()]);
} finally {
  await browser.close();
  await gateway.stop();
}

async function light() {
  const { page, take } = await open('light', DESKTOP, '');
  await page.goto(origin());
  await heading(page, 'Your OrangeHRM claims').waitFor();
  await take('sign-in');

  await signUp(page, origin(), 'ada@day.example');
  await take('connect');

  await connect(page, { username: 'rejected', password: PASSWORD });
  await page.getByText('OrangeHRM refused the sign-in').waitFor();
  await take('failure');
  await page.getByRole('button', { name: 'Change the sign-in' }).click();

  await connect(page, { username: PLAIN, password: PASSWORD });
  await page.getByText(/asked Intuned [345] times/).waitFor();
  await take('progress');
  await claims(page);
  await take('claims');
}

async function dark() {
  const { page, take } = await open('dark', DESKTOP, '-dark');
  await signUp(page, origin(), 'ada@night.example');
  await connect(page, { username: WITH_CHOICE, password: PASSWORD });
  await page.getByLabel('Email', { exact: true }).check();
  await take('choice');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByLabel('Enter the passcode').fill(PASSCODE);
  await page.getByRole('button', { name: 'Continue' }).click();
  await claims(page);
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('dialog').getByText('Disconnect OrangeHRM?').waitFor();
  await take('disconnect');
}

async function phone() {
  const { page, take } = await open('light', PHONE, '-phone');
  await signUp(page, origin(), 'ada@phone.example');
  await take('connect');
  await connect(page, { username: WITH_PASSCODE, password: PASSWORD });
  await page.getByLabel('Enter the passcode').fill(PASSCODE);
  await take('passcode');
  await page.getByRole('button', { name: 'Continue' }).click();
  await claims(page);
  await take('claims');
}

function origin() {
  return new URL(gateway.url).origin;
}

async function open(colorScheme, viewport, suffix) {
  const options = { colorScheme, viewport, locale: 'en-GB', timezoneId: 'UTC', reducedMotion: 'reduce' };
  const { page } = await openPage(browser, origin(), options);
  page.setDefaultTimeout(60_000);
  return {
    page,
    take: (name) => page.screenshot({ path: join(folder, `${name}${suffix}.png`), animations: 'disabled' }),
  };
}
