/** When a deferred recipient is tried again, and when it is too old. Pure: time and chance come in as numbers. */

/** How long to wait between attempts, and how long to go on. */
export interface RetryPolicy {
  /** Wait after the first attempt. */
  readonly firstMs: number;
  /** Each wait is this many times the one before. */
  readonly factor: number;
  /** No wait is longer, jitter apart. */
  readonly maxMs: number;
  /** Age, held time not counted, at which the last attempt is made. RFC 5321 §4.5.4.1 asks for four to five days. */
  readonly expireAfterMs: number;
  /** Age, held time not counted, at which the sender is told that the message is late. */
  readonly warnAfterMs: number;
}

/** 1m 2m 4m 8m 16m 30m 30m … for five days. */
export const DEFAULT_RETRY: RetryPolicy = {
  firstMs: 60_000,
  factor: 2,
  maxMs: 1_800_000,
  expireAfterMs: 432_000_000,
  warnAfterMs: 14_400_000,
};

/** Waits are spread by this part of themselves to both sides, so that what failed together does not come back together. */
export const JITTER = 0.1;

/**
 * The wait after an attempt.
 *
 * @param attempts - attempts made so far, this one included; at least 1
 * @param random - in [0, 1); 0.5 gives the exact schedule
 * @returns ms
 */
export function retryDelayMs(policy: RetryPolicy, attempts: number, random: number): number {
  // The exponent is bounded because factor ** 1100 is Infinity, and Infinity times zero is no number.
  const exact = Math.min(policy.maxMs, policy.firstMs * policy.factor ** Math.min(Math.max(0, attempts - 1), 100));
  return Math.round(exact * (1 + JITTER * (2 * random - 1)));
}

/** What the next attempt of one recipient depends on. */
export interface RetryInput {
  readonly now: number;
  readonly acceptedAt: number;
  /** Time spent held: not counted as age. */
  readonly heldMs: number;
  /** Attempts made so far, this one included. */
  readonly attempts: number;
  readonly random: number;
  /** A wait that the answer asks for, instead of the schedule's. */
  readonly waitMs?: number | undefined;
  /** The door does not open before. */
  readonly notBefore?: number | undefined;
}

/**
 * When to try a recipient again; undefined when it is too old for that. The last wait is cut so that one attempt is made at the
 * very end of the time allowed.
 *
 * @returns ms since the epoch
 */
export function nextAttemptAt(policy: RetryPolicy, input: RetryInput): number | undefined {
  const expiresAt = input.acceptedAt + input.heldMs + policy.expireAfterMs;
  if (input.now >= expiresAt) return undefined;
  const wanted = input.now + (input.waitMs ?? retryDelayMs(policy, input.attempts, input.random));
  return Math.min(Math.max(wanted, input.notBefore ?? 0), Math.max(expiresAt, input.notBefore ?? 0));
}
