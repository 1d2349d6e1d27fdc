/** Notices that the system's clock was set: by NTP after a start with a wrong one, by hand, or because the machine slept. */
import type { Clock } from "./clock.ts";

const LOOK_EVERY_MS = 15_000;
/** Less than this is no matter to anybody: NTP moves the clock by little, and gently. */
const LEAST_STEP_MS = 30_000;

/**
 * Looks every 15 s how far the clock and the one that never goes back have moved apart.
 *
 * @param stepped - called with the step in ms, back is negative; time that the machine slept through is a step forward
 * @returns ends it
 */
export function watchClockSteps(clock: Clock, stepped: (byMs: number) => void): () => void {
  let cancel: () => void = () => undefined;
  let apart = clock.now() - clock.monotonic();
  const look = (): void => {
    const now = clock.now() - clock.monotonic();
    const byMs = now - apart;
    if (Math.abs(byMs) >= LEAST_STEP_MS) {
      apart = now;
      stepped(Math.round(byMs));
    }
    cancel = clock.after(LOOK_EVERY_MS, look);
  };
  cancel = clock.after(LOOK_EVERY_MS, look);
  return () => cancel();
}
