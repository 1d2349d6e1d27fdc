/** Waiting for what others may wait for too: a token, the addresses of a host. */
import { faultAt } from "./smtp/fault.ts";
import type { Refusal } from "./upstream.ts";

/** What is waited for, and how a refusal names it when nobody waits any more. */
const REFUSALS = {
  token: () => faultAt("token", "ABORTED", "stopped while waiting for a token"),
  host: () => faultAt("connect", "ABORTED", "stopped while looking up the host"),
};

/** The work itself goes on for others who wait for it. */
export async function orAborted<T>(what: keyof typeof REFUSALS, work: Promise<T>, signal: AbortSignal): Promise<T | Refusal> {
  let stop = (): void => {};
  const aborted = new Promise<Refusal>((resolve) => {
    const settle = (): void => resolve(REFUSALS[what]());
    signal.addEventListener("abort", settle);
    stop = () => signal.removeEventListener("abort", settle);
    if (signal.aborted) settle();
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    stop();
  }
}
