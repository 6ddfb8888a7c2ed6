import { createContext, useContext, useEffect, useState } from 'react';

/** What the gateway says of itself to the console. */
export interface Facts {
  graphiql: boolean;
  demoAccounts: { username: string; password: string; shows: string }[];
}

const NONE: Facts = { graphiql: false, demoAccounts: [] };

export const FactsContext = createContext(NONE);

export const useFacts = () => useContext(FactsContext);

export function useLoadedFacts(): Facts {
  const [facts, setFacts] = useState(NONE);
  useEffect(() => {
    fetch('/console.json')
      .then((response) => response.json())
      .then(setFacts)
      .catch(() => {
        // The console works without them.
      });
  }, []);
  return facts;
}
