import { useEffect } from 'react';

// Tells all tabs that something of the user's may have changed, so that each asks the gateway anew.
const tabs = new BroadcastChannel('intuned-gateway');
const here = new EventTarget();

export function announceChange() {
  tabs.postMessage('changed');
  noteChange();
}

/** For what this tab alone has noticed. */
export function noteChange() {
  here.dispatchEvent(new Event('changed'));
}

tabs.addEventListener('message', noteChange);
window.addEventListener('online', noteChange);
// What other devices have done in the meantime shows as soon as somebody looks.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') noteChange();
});

export function useChanges(listener: () => void) {
  useEffect(() => {
    here.addEventListener('changed', listener);
    return () => here.removeEventListener('changed', listener);
  }, [listener]);
}
