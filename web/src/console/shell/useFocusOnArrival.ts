import { useEffect, useRef } from 'react';

/**
 * Moves the focus to an element that takes another's place, so that the keyboard goes on from there.
 * Nothing is moved when the page has just been loaded.
 */
export function useFocusOnArrival<E extends HTMLElement>() {
  const element = useRef<E>(null);
  useEffect(() => {
    if (performance.now() > JUST_LOADED_MS) element.current?.focus({ preventScroll: true });
  }, []);
  return element;
}

const JUST_LOADED_MS = 1_000;
