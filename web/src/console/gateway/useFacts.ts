import { createContext, useContext, useEffect, useState } from 'react';
import { beforeRetry } from './reach';

/** What the gateway says of itself to the console. */
export interface Facts {
  graphiql: boolean;
  demoAccounts: { username: string; password: string; shows: string }[];
}

const NONE: Facts = { graphiql: false, demoAccounts: [] };

export const FactsContext = createContext(NONE);

export const useFacts = () => useContext(FactsContext);

/** Asks for the facts until they are there; the console works without them. */
export function useLoadedFacts(): Facts {
  const [facts, setFacts] = useState(NONE);
  useEffect(() => {
    let wanted = true;
    const load = async () => {
      for (let failures = 0; wanted; failures += 1) {
        try {
          const response = await fetch('/console.json');
          setFacts(await response.json());
          return;
        } catch {
          await beforeRetry(failures);
        }
      }
    };
    void load();
    return () => {
      wanted = false;
    };
  }, []);
  return facts;
}
