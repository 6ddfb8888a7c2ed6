import { Readable } from 'node:stream';

/**
 * Makes something to read with `for await` out of callbacks.
 * `start` is handed the callbacks and returns what ends the subscription.
 */
export function eventStream(start) {
  let stop;
  const events = new Readable({
    objectMode: true,
    read() {},
    destroy(error, done) {
      stop?.();
      done(error);
    },
  });
  stop = start({
    next: (event) => events.push(event),
    error: (error) => events.destroy(error),
    complete: () => events.push(null),
  });
  return events;
}
