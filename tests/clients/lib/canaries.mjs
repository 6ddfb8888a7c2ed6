// What the suites send that must stay secret, recognizable wherever it turns up, and the sieve for it.

import { PASSCODE, PASSWORD, WRONG_PASSCODE, WRONG_PASSWORD } from './demo-accounts.mjs';

/** The password of every account at the gateway, those of the README's programs too. */
export const ACCOUNT_PASSWORD = 'correct horse battery';
export const WRONG_ACCOUNT_PASSWORD = 'canary-account-c83f';
export const API_KEY = 'canary-api-key-6f1d';
export const AUTH_SECRET = 'canary-auth-secret-of-32-bytes-or-more';
/** `canary-webhook-secret-of-32-bytes-or-more` in base64. */
export const WEBHOOK_SECRET = 'whsec_Y2FuYXJ5LXdlYmhvb2stc2VjcmV0LW9mLTMyLWJ5dGVzLW9yLW1vcmU=';
/** No server of the tests asks for it. */
export const DATABASE_PASSWORD = 'canary-database-83b1';

/** What every session token begins with: its header never changes. */
export const TOKEN_HEAD = 'eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.';

/** Texts, or patterns, by what they are. */
const SECRETS = [
  ["an account's password", ACCOUNT_PASSWORD],
  ["an account's password, wrongly typed", WRONG_ACCOUNT_PASSWORD],
  ['an OrangeHRM password', PASSWORD],
  ['a wrong OrangeHRM password', WRONG_PASSWORD],
  // The simulator takes this one only. Six digits also stand in times, after a point.
  ['a passcode', new RegExp(`(?<![\\w.-])${PASSCODE}(?!\\w)`)],
  ['a wrong passcode', WRONG_PASSCODE],
  ["Intuned's API key", API_KEY],
  ['the secret that signs sessions', AUTH_SECRET],
  ['the secret that signs webhooks', WEBHOOK_SECRET],
  ["the database's password", DATABASE_PASSWORD],
  ['a session token', TOKEN_HEAD],
];

/** From now on this is looked for as well. */
export function plant(kind, secret) {
  SECRETS.push([kind, secret]);
}

/**
 * Each secret that stands in one of the places, in words that do not repeat it.
 * @param {[place: string, content: string | Buffer][]} places
 */
export function leaks(places) {
  const found = places.flatMap(([place, content]) => {
    const text = content.toString('latin1');
    return SECRETS.filter(([, secret]) => stands(secret, text)).map(([kind]) => `${kind} in ${place}`);
  });
  return [...new Set(found)];
}

/** Fails when a secret stands in one of the places. */
export function expectNoLeaks(places) {
  const found = leaks(places);
  if (found.length > 0) throw new Error(`secrets leaked: ${found.join('; ')}`);
}

/** PostgreSQL writes bytes in hexadecimal digits. */
function stands(secret, text) {
  if (secret instanceof RegExp) return secret.test(text);
  return text.includes(secret) || text.includes(Buffer.from(secret).toString('hex'));
}
