import { setTimeout as delay } from 'node:timers/promises';
import { OPERATION_STATUS } from './documents.mjs';
import { RequestError } from './request-error.mjs';

/** Follows an operation from its present state, or from the change after `afterSequence`, to its end. */
export async function* follow(client, operationId, afterSequence) {
  for await (const data of client.subscribe(OPERATION_STATUS, { operationId, afterSequence })) {
    yield data.operationStatus;
  }
}

/**
 * Follows an operation from its first change to its end. Each time the connection is lost, it
 * subscribes again from the last change that it saw, so that every change comes exactly once.
 */
export async function* followThroughCuts(client, operationId) {
  let afterSequence = 0;
  for (;;) {
    try {
      for await (const event of follow(client, operationId, afterSequence)) {
        if (event.kind === 'CHANGE') afterSequence = event.sequence;
        yield event;
      }
      return;
    } catch (error) {
      if (error instanceof RequestError) throw error;
      await delay(200);
    }
  }
}
