import { chromium } from 'playwright-core';

/** Starts the Chromium that is installed, in a way that it asks nobody for anything by itself. */
export function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/**
 * Opens an empty page that reaches `origin`, or each of several, and nothing else.
 * `complaints` fills with all that goes wrong in it: a console error, an exception, a request that
 * failed, went elsewhere or was answered with an error.
 */
export async function openPage(browser, origin, options) {
  const context = await browser.newContext(options);
  const complaints = [];
  await context.route('**/*', (route) => {
    const { protocol, origin: wanted } = new URL(route.request().url());
    if ([origin].flat().includes(wanted) || protocol === 'data:') return route.continue();
    complaints.push(`a request to ${wanted}`);
    return route.abort();
  });

  const page = await context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`console: ${message.text().slice(0, 300)}`);
  });
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
  page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`);
  });
  return { page, complaints };
}
