import assert from 'node:assert/strict';
import axe from 'axe-core';

/** Fails when axe finds anything wrong with the page as it is now. */
export async function expectAccessible(page, state) {
  // What fades in is paler on its way.
  await page.waitForFunction(() => document.getAnimations().every(({ playState, effect }) =>
    playState !== 'running' || effect?.getComputedTiming().iterations === Infinity));
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const findings = violations.map(({ id, impact, nodes }) =>
    `${id} (${impact}): ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`).join('\n  ')}`);
  assert.deepEqual(findings, [], `axe on ${state}`);
}
