/** Recipient states as the database stores them, and the packing of ids. */
import type { Holder, RecipientState, TerminalState } from "../mail/message.ts";

/** Stored as the position in this list: never reorder, only add. */
export const STATE_NAMES = [
  "queued",
  "delivering",
  "deferred",
  "held",
  "delivered",
  "bounced",
  "expired",
  "deleted",
] as const satisfies readonly RecipientState[];
export const QUEUED = 0;
export const DELIVERING = 1;
export const DEFERRED = 2;
export const HELD = 3;
export const DELIVERED = 4;
export const BOUNCED = 5;
export const EXPIRED = 6;
export const DELETED = 7;
export const FINAL_NAMES: readonly TerminalState[] = ["delivered", "bounced", "expired", "deleted"];

/** Stored as the position in this list: never reorder, only add. */
export const HOLDER_NAMES = ["upstream", "sender", "operator", "corrupt"] as const satisfies readonly Holder[];
export const BY_UPSTREAM = 0;
export const BY_SENDER = 1;
export const BY_OPERATOR = 2;
export const BY_CORRUPT = 3;

/** Which line of its lane a waiting recipient stands in; NULL for final ones. The index over lines serves every search for work. */
export const LINE_TIME = 0;
export const LINE_DOOR = 1;
export const LINE_HELD = 2;
export const LINE_DELIVERING = 3;

/** The state's name. */
export function stateName(state: number): RecipientState {
  return STATE_NAMES[state] ?? "held";
}

/** The number under which a state is stored. */
export function stateNumber(state: RecipientState): number {
  return STATE_NAMES.indexOf(state);
}

/** The holder's name; undefined for recipients nobody holds. */
export function holderName(holder: number | null): Holder | undefined {
  return holder === null ? undefined : HOLDER_NAMES[holder];
}

/** A recipient's row id is its message's id times this plus its place in the envelope (at most 1,000). */
export const RECIPIENT_SPAN = 1024;
/** A content row's key is its message's id times this plus its place: 16,384 rows of at least 16 KiB, so 256 MiB even when all are short. */
export const CONTENT_SPAN = 16_384;
/** Attempts and acts of one message. */
export const HISTORY_SPAN = 65_536;
/** Most octets of one content row: larger ones gain nothing, 64 KiB is clearly slower. */
export const ROW_BYTES = 256 * 1024;
