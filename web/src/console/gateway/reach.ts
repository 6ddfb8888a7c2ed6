import { useSyncExternalStore } from 'react';

// Whether the gateway can be reached, by all that the page has seen of its requests and its socket.
const ways = { network: navigator.onLine, requests: true, socket: true };
const listeners = new Set<() => void>();

export function report(way: keyof typeof ways, works: boolean) {
  if (ways[way] === works) return;
  ways[way] = works;
  for (const listener of listeners) listener();
}

window.addEventListener('online', () => report('network', true));
window.addEventListener('offline', () => report('network', false));

export function useReach(): 'fine' | 'offline' | 'lost' {
  return useSyncExternalStore(subscribe, () => {
    if (!ways.network) return 'offline';
    return ways.requests && ways.socket ? 'fine' : 'lost';
  });
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Waits before the next try: longer from one to the next, but not once the network is back. */
export function beforeRetry(failures: number): Promise<void> {
  const wait = Math.min(300 * 2 ** failures, 5_000) * (0.75 + Math.random() / 2);
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      window.removeEventListener('online', go);
      resolve();
    };
    const timer = setTimeout(go, wait);
    window.addEventListener('online', go);
  });
}
