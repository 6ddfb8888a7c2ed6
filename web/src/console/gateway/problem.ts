import type { CombinedError } from 'urql';

/** Why something could not be done, for people. */
export interface Problem {
  code: string;
  message: string;
  /** The input that is to be mended, where it is one. */
  field?: string;
}

const UNREACHABLE: Problem = {
  code: 'UNREACHABLE',
  message: 'The gateway cannot be reached. Check your connection and try again.',
};

export function problemOf(error: CombinedError | undefined): Problem | undefined {
  if (!error) return undefined;
  const [first] = error.graphQLErrors;
  if (!first) return UNREACHABLE;
  const { code, field } = first.extensions;
  const problem = { code: String(code), message: first.message };
  if (typeof field !== 'string') return problem;
  const message = first.message.replace(`${field}: `, '');
  return { ...problem, field, message: message.charAt(0).toUpperCase() + message.slice(1) };
}
