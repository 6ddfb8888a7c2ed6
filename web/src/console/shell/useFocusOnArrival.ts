import { useEffect, useRef } from 'react';

/**
 * Moves the focus to an element that takes another's place, so that the keyboard goes on from there.
 * Nothing is moved before the user has done anything on the page.
 */
export function useFocusOnArrival<E extends HTMLElement>() {
  const element = useRef<E>(null);
  useEffect(() => {
    if (navigator.userActivation.hasBeenActive) element.current?.focus({ preventScroll: true });
  }, []);
  return element;
}
