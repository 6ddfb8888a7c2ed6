import { send } from '../gateway/client';

// Numbers keep the digits that they were sent with: 1.10, and ids beyond what JavaScript can count. They are
// read as texts that begin with half a surrogate pair, which nothing that the gateway sends has in it.
const MARK = '\ud800';

const TEXT_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;

/** JSON with each number made a text that is marked. */
export const marked = (json: string) =>
  json.replace(TEXT_OR_NUMBER, (token) => (token.startsWith('"') ? token : `"\\ud800${token}"`));

/** The digits of a number, as they were sent; none of anything else. */
export const digitsOf = (value: unknown) =>
  typeof value === 'string' && value.startsWith(MARK) ? value.slice(MARK.length) : undefined;

/** The value's JSON, for people. */
export function printed(value: unknown) {
  try {
    return JSON.stringify(value, null, 2).replace(/"\\ud800([^"]*)"/g, '$1');
  } catch {
    return 'This is nested too deeply to be shown here.';
  }
}

/** Fetches an answer whose numbers are marked. */
export const fetchMarked: typeof fetch = async (input, init) => {
  const response = await send(input, init);
  const { status, statusText, headers } = response;
  return new Response(marked(await response.text()), { status, statusText, headers });
};
