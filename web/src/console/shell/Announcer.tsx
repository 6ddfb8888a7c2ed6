import { VisuallyHidden } from '@mantine/core';
import { type ReactNode, createContext, useContext, useEffect, useState } from 'react';

const AnnounceContext = createContext<(text: string) => void>(() => {});

/** Has screen readers read out what changes on the page. */
export function Announcer({ children }: { children: ReactNode }) {
  const [text, announce] = useState('');
  return (
    <AnnounceContext value={announce}>
      {children}
      <VisuallyHidden role="status" aria-live="polite" data-testid="announcer">
        {text}
      </VisuallyHidden>
    </AnnounceContext>
  );
}

export function useAnnouncement(text: string | undefined) {
  const announce = useContext(AnnounceContext);
  useEffect(() => {
    if (text) announce(text);
  }, [announce, text]);
}
