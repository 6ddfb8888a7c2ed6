import { clientOver, httpLink } from './apollo.mjs';

export const name = 'Apollo Client over HTTP alone';

/** Apollo Client with subscriptions in parts over HTTP, as its mobile siblings have them. */
export const createClient = (options) => clientOver(httpLink(options));
