import { useEffect, useState } from 'react';
import type { Course } from './useOperation';

/** Seconds since the operation began. Between two events this page's clock goes on. */
export function ElapsedTime({ course: { latest, at }, running }: { course: Course; running: boolean }) {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => setNow(performance.now()), 500);
    return () => clearInterval(timer);
  }, [running]);
  const since = running ? Math.max(0, now - at) : 0;
  return <>{inWords(latest.elapsedMs + since)}</>;
}

export function inWords(milliseconds: number) {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
