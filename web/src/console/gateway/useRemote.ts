import { useCallback, useEffect, useRef, useState } from 'react';
import { type OperationContext, type TypedDocumentNode, createRequest, useClient } from 'urql';
import { type Problem, problemOf } from './problem';
import { beforeRetry } from './reach';

/** What was asked of the gateway: the last good answer, and what goes on. */
export interface Remote<Data> {
  data?: Data;
  /** When the data came. */
  at?: Date;
  /** Why the last try brought nothing, or not all. */
  problem?: Problem;
  fetching: boolean;
}

type NoVariables = Record<string, never>;

/**
 * Asks when it is first used and whenever `refresh` is called. While the gateway cannot be reached it
 * goes on trying. `context` is how to ask; it stays the same object.
 */
export function useRemote<Data>(
  document: TypedDocumentNode<Data, NoVariables>,
  context?: Partial<OperationContext>,
) {
  const client = useClient();
  const [remote, setRemote] = useState<Remote<Data>>({ fetching: true });
  const latest = useRef(0);

  const refresh = useCallback(async () => {
    const mine = ++latest.current;
    setRemote((last) => ({ ...last, fetching: true }));
    for (let failures = 0; mine === latest.current; failures += 1) {
      // A request of its own, also while the same is under way: that answer may be out of date already.
      const request = { ...createRequest(document, {}), key: nextKey() };
      const { data, error } = await client.executeQuery(request, context).toPromise();
      if (mine !== latest.current) return;
      if (error?.networkError) {
        await beforeRetry(failures);
        continue;
      }
      const problem = problemOf(error);
      setRemote((last) =>
        problem ? { ...last, problem, fetching: false } : { data, at: new Date(), fetching: false },
      );
      return;
    }
  }, [client, document, context]);

  useEffect(() => {
    void refresh();
    return () => {
      latest.current += 1;
    };
  }, [refresh]);

  return [remote, refresh] as const;
}

let lastKey = 0;
const nextKey = () => (lastKey += 1);
