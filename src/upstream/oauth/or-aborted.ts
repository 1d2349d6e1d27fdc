/** Waiting for a token that others may wait for too. */
import { faultAt } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";

/** The fetch itself goes on for others who wait for it. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | Refusal> {
  let stop = (): void => {};
  const aborted = new Promise<Refusal>((resolve) => {
    const settle = (): void => resolve(faultAt("token", "ABORTED", "stopped while waiting for a token"));
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
