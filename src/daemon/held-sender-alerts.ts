/** Alerts about held senders that outlived what they are about: an operator ended the mail, and the relay ended before it took the alert back. */
import { MOST_HELD_SENDERS } from "../deliver/held-senders.ts";
import type { Emit } from "../mail/events.ts";
import { LONGEST_SUBJECT } from "../observe/alerts/book.ts";
import type { OpenAlert } from "../observe/alerts/alert.ts";
import type { DeliveryQueue } from "../queue/queue.ts";

/** At the start, before anything is tried: ends those of whose sender the queue holds nothing. */
export async function endOldSenderAlerts(
  open: readonly OpenAlert[],
  queue: Pick<DeliveryQueue, "heldSenders">,
  upstreams: Iterable<string>,
  emit: Emit,
): Promise<void> {
  for (const upstream of upstreams) {
    const about = open.filter(({ alert, subject }) => alert === "sender.held" && subject.startsWith(`${upstream} `));
    if (about.length === 0) continue;
    const senders = await queue.heldSenders(upstream, MOST_HELD_SENDERS);
    if (senders.length >= MOST_HELD_SENDERS) continue;
    const held = new Set(senders.map((sender) => `${upstream} ${sender}`.slice(0, LONGEST_SUBJECT)));
    for (const { alert, subject } of about) if (!held.has(subject)) emit({ type: "alert.cleared", alert, subject });
  }
}
