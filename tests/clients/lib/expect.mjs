import assert from 'node:assert/strict';

const ENDED = ['DONE', 'FAILED', 'CANCELED'];

export const changes = (events) => events.filter((event) => event.kind === 'CHANGE');

/** Reads a stream to its end. */
export async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** Changes `first`, `first` + 1 and so on, each once and in order, the last of which ended the operation with `status`. */
export function expectChangesFrom(first, events, status) {
  const seen = changes(events);
  assert.deepEqual(
    seen.map((event) => event.sequence),
    seen.map((_, index) => first + index),
    'changes are numbered without a gap or a repeat',
  );
  const statuses = seen.map((event) => event.status);
  assert.deepEqual(statuses.filter((each) => ENDED.includes(each)), [status], `ends once: ${statuses}`);
  assert.equal(statuses.at(-1), status);
}

/** What a follower that subscribed without a number must see: where it stands, each change after that, the end. */
export function expectFollowedToEnd(events, status) {
  const [snapshot] = events;
  assert.equal(snapshot.kind, 'SNAPSHOT');
  expectChangesFrom(snapshot.sequence + 1, events.slice(1), status);
  assert.equal(events.at(-1).kind, 'CHANGE', 'nothing comes after the end');
  for (const [before, after] of pairs(events)) {
    const both = `${JSON.stringify(before)}\n${JSON.stringify(after)}`;
    assert.ok(after.polls >= before.polls, `polls never go back:\n${both}`);
    if (after.kind === 'PROGRESS') assert.equal(after.sequence, before.sequence, `progress is no change:\n${both}`);
  }
  // A snapshot shows when it was taken, which may be later than a change that was being written just then.
  for (const [before, after] of pairs(changes(events))) {
    assert.ok(after.elapsedMs >= before.elapsedMs, 'time never goes back');
  }
}

const pairs = (events) => events.slice(1).map((event, index) => [events[index], event]);
