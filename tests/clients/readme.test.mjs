import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { gatewayForSuite } from './lib/gateway.mjs';

const README = new URL('../../README.md', import.meta.url);

describe('README.md', { timeout: 120_000 }, () => {
  let gateway;
  before(async () => { gateway = await gatewayForSuite(); });
  after(() => gateway?.stop());

  test('its Node program runs as it stands', { timeout: 60_000 }, async () => {
    const [, program] = /```js\n(\/\/ watch\.mjs\n[^]*?)```/.exec(await readFile(README, 'utf8'));
    const here = program.replace('http://127.0.0.1:8080/graphql', gateway.url);
    const args = ['--input-type=module', '--eval', here];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
    assert.match(stdout, /kind: 'SNAPSHOT'/);
    assert.match(stdout, /status: 'DONE'/);
    assert.match(stdout, /status: 'READY'/);
  });
});
