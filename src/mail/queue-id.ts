/** Queue ids: ULIDs (https://github.com/ulid/spec), 26 characters of Crockford's base 32 that sort by the time they were made. */
import { randomFillSync } from "node:crypto";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TIME_CHARACTERS = 10;
const RANDOM_CHARACTERS = 16;
/** Random octets drawn at once: a call of the generator costs more than what it gives for one id. */
const POOL_OCTETS = 4096;
const QUEUE_ID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** True when the text has the form of a queue id. */
export function isQueueId(text: string): boolean {
  return QUEUE_ID.test(text);
}

function encodeTime(ms: number): string {
  let text = "";
  for (let rest = ms, left = TIME_CHARACTERS; left > 0; left--) {
    text = `${ALPHABET[rest % 32]}${text}`;
    rest = Math.floor(rest / 32);
  }
  return text;
}

/** The first queue id that could be made at a moment: ids below it are older. @param ms - since the epoch */
export function queueIdAt(ms: number): string {
  return encodeTime(Math.max(0, Math.floor(ms))) + "0".repeat(RANDOM_CHARACTERS);
}

/**
 * A source of queue ids that never go back: within one millisecond, and while the clock stands or is set back, the random part
 * counts up instead. Random bits come from the system's generator, so ids of other messages cannot be guessed from one's own.
 *
 * @param now - ms since the epoch
 */
export function queueIdSource(now: () => number): () => string {
  const digits = new Uint8Array(RANDOM_CHARACTERS);
  const pool = new Uint8Array(POOL_OCTETS);
  let used = POOL_OCTETS;
  let lastMs = -1;
  let time = "";
  return () => {
    const ms = Math.max(0, Math.floor(now()));
    if (ms > lastMs) {
      lastMs = ms;
      time = encodeTime(ms);
      if (used === POOL_OCTETS) {
        randomFillSync(pool);
        used = 0;
      }
      for (let at = 0; at < RANDOM_CHARACTERS; at++) digits[at] = (pool[used++] ?? 0) & 31;
    } else {
      let at = RANDOM_CHARACTERS - 1;
      while (at >= 0 && digits[at] === 31) digits[at--] = 0;
      if (at >= 0) digits[at] = (digits[at] ?? 0) + 1;
      else time = encodeTime(++lastMs);
    }
    let random = "";
    for (let at = 0; at < RANDOM_CHARACTERS; at++) random += ALPHABET[digits[at] ?? 0];
    return time + random;
  };
}
