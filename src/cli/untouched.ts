/** Why an operator's act left some of the mail as it was: each reason once, with what to type instead. */
import type { OperatorAct, QueueEntry } from "../queue/queue.ts";

/**
 * @param entries - what the ids or filters named and the act did not change
 */
export function whyUntouched(verb: OperatorAct["verb"], entries: readonly QueueEntry[]): string[] {
  const counts = new Map<string, number>();
  for (const entry of entries) {
    const reason = reasonOf(verb, entry);
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].map(([reason, count]) => `${count} recipient${count === 1 ? "" : "s"} ${reason}`);
}

function reasonOf(verb: OperatorAct["verb"], { state, heldBy, lane }: QueueEntry): string {
  if (state === "delivered" || state === "bounced" || state === "expired" || state === "deleted") return `${state} already`;
  if (heldBy === "corrupt") return "damaged in the store, never to be sent: postern queue delete ends that";
  if (verb === "retry") {
    if (heldBy === "upstream")
      return `held by upstream ${lane}, which is tried now and then lets all go: postern upstreams says how it went`;
    if (heldBy === "sender") return "held by the sender: one message is tried now, and takes the others along";
    if (heldBy === "operator") return "held by an operator: postern queue release lets that go";
  }
  if (verb === "hold" && state === "held") return "held already";
  if (verb === "release" && state !== "held") return "not held, only waiting: postern queue retry tries that now";
  return `${state}: not touched`;
}
