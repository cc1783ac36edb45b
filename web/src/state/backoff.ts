// How long to wait before the next try: longer each time, never all browsers at once, never before the engine said so.

const FIRST_S = 1;
const MOST_S = 30;

/** Seconds before try number `attempt` (0 is the first); `random` in 0..1. */
export function delay(attempt: number, retryAfter: number | null, random: () => number = Math.random): number {
  const steps = Math.min(MOST_S, FIRST_S * 2 ** Math.min(attempt, 10));
  const jittered = Math.ceil(steps * (0.5 + random() / 2));
  return retryAfter === null ? jittered : Math.ceil(retryAfter + random() * Math.min(steps, 5));
}
