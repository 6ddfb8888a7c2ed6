import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { Client, fetchExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { gatewayForSuite } from './lib/gateway.mjs';

const ME = 'query Me { me { id } }';
const ALIASED = 'query Me { mine: me { id } }';
const sha256 = (text) => createHash('sha256').update(text).digest('hex');

describe('Automatic persisted queries', { timeout: 60_000 }, () => {
  let gateway;
  before(async () => { gateway = await gatewayForSuite(); });
  after(() => gateway?.stop());

  for (const useGETForHashedQueries of [false, true]) {
    test(`Apollo Client sends the text once${useGETForHashedQueries ? ', hashes by GET' : ''}`, async () => {
      const { sent, fetch } = recorder();
      const query = gql(`query Me${useGETForHashedQueries ? 'ByGet' : ''} { me { id } }`);
      for (let time = 0; time < 2; time += 1) {
        const link = ApolloLink.from([
          new PersistedQueryLink({ sha256, useGETForHashedQueries }),
          new HttpLink({ uri: gateway.url, fetch }),
        ]);
        const client = new ApolloClient({ link, cache: new InMemoryCache() });
        const { data } = await client.query({ query });
        assert.equal(data.me, null);
        client.stop();
      }
      assert.deepEqual(sent, ['hash', 'text', 'hash']);
    });
  }

  test('urql sends the text once', async () => {
    const { sent, fetch } = recorder();
    for (let time = 0; time < 2; time += 1) {
      const exchanges = [persistedExchange(), fetchExchange];
      const client = new Client({ url: gateway.url, exchanges, fetch, preferGetMethod: false });
      const { data, error } = await client.query(ALIASED, {}).toPromise();
      assert.equal(error, undefined);
      assert.equal(data.mine, null);
    }
    assert.deepEqual(sent, ['hash', 'text', 'hash']);
  });

  test('a hash is asked for by documentId too', async () => {
    const body = { query: ME, documentId: `sha256:${sha256(ME)}` };
    for (const { query, documentId } of [body, { documentId: body.documentId }]) {
      const response = await fetch(gateway.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query, documentId }),
      });
      assert.deepEqual(await response.json(), { data: { me: null } });
    }
  });
});

/** Notes of each request whether it holds the document's text. */
function recorder() {
  const sent = [];
  return {
    sent,
    fetch: (url, options) => {
      const request = `${decodeURIComponent(url)} ${options.body ?? ''}`;
      sent.push(/[?&"]query["=]/.test(request) ? 'text' : 'hash');
      return fetch(url, options);
    },
  };
}
