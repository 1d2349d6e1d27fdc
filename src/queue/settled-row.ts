/** An outcome as the worker writes it. */
import type { SettledRow } from "./protocol.ts";
import type { Settlement } from "./queue.ts";
import { BOUNCED, DEFERRED, DELIVERED, EXPIRED, HELD, HOLDER_NAMES } from "./states.ts";

/** Replies go into the database as JSON. */
function json(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

/** The row of one recipient, by its index in the message. */
export function toRow(index: number, settlement: Settlement): SettledRow {
  const plain = { index, due: 0, heldBy: null, ambiguous: false, moved: null };
  switch (settlement.kind) {
    case "returned":
      return { ...plain, state: -1, due: settlement.dueAt, cause: null, reply: null };
    case "delivered":
      return { ...plain, state: DELIVERED, cause: null, reply: json(settlement.reply) };
    case "deferred": {
      const { dueAt, cause, reply, ambiguous = false } = settlement;
      return { ...plain, state: DEFERRED, due: dueAt, ambiguous, cause, reply: json(reply) };
    }
    case "held":
      return {
        ...plain,
        state: HELD,
        heldBy: HOLDER_NAMES.indexOf(settlement.by),
        cause: settlement.cause,
        reply: json(settlement.reply),
      };
    case "bounced":
    case "expired":
      return { ...plain, state: settlement.kind === "bounced" ? BOUNCED : EXPIRED, cause: settlement.cause, reply: json(settlement.reply) };
    case "moved": {
      const { lane, dueAt, cause, reply, passed } = settlement;
      return { ...plain, state: DEFERRED, due: dueAt, cause, reply: json(reply), moved: { lane, passed } };
    }
    default:
      throw new Error(`no settlement ${String(settlement satisfies never)}`);
  }
}
