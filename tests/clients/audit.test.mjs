import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serverAudits } from 'graphql-http';
import { gatewayForSuite } from './lib/gateway.mjs';

// Warnings and notices count as failures.
describe('The GraphQL-over-HTTP audits', { timeout: 120_000 }, () => {
  let gateway;
  before(async () => { gateway = await gatewayForSuite(); });
  after(() => gateway?.stop());

  for (const audit of serverAudits({ url: () => gateway.url, fetchFn: fetch })) {
    test(`${audit.id}: ${audit.name}`, async () => {
      const { status, reason } = await audit.fn();
      assert.equal(status, 'ok', reason);
    });
  }
});
