/** Compares what was promised with what arrived. */
import type { Delivery } from "./message.ts";

export interface Verdict {
  /** 250s that the client saw. */
  readonly accepted: number;
  /** Transactions that the next hop took. */
  readonly delivered: number;
  /** Queue ids promised to the client that never reached the next hop. Must be empty. */
  readonly lost: readonly string[];
  /** Deliveries of a queue id beyond its first. */
  readonly duplicates: number;
  /** Queue ids delivered without the client having seen their 250: the answer was lost with the process, and the client sent again. */
  readonly unacknowledged: number;
  /** Deliveries that contradict what was submitted. Must be empty. */
  readonly wrong: readonly string[];
}

/** @param accepted - queue id to Message-ID, of every 250 */
export function judge(accepted: ReadonlyMap<string, string>, deliveries: readonly Delivery[]): Verdict {
  const messageIds = new Map<string, string>();
  const wrong: string[] = [];
  let duplicates = 0;
  for (const { posternId, messageId, intact } of deliveries) {
    if (posternId === "") wrong.push(`a delivery of ${messageId} has no X-Postern-Id`);
    if (!intact) wrong.push(`the body of ${posternId} changed on the way`);
    const before = messageIds.get(posternId) ?? accepted.get(posternId);
    if (before !== undefined && before !== messageId) wrong.push(`${posternId} was ${before} and is delivered as ${messageId}`);
    if (messageIds.has(posternId)) duplicates++;
    messageIds.set(posternId, messageId);
  }
  return {
    accepted: accepted.size,
    delivered: deliveries.length,
    lost: [...accepted.keys()].filter((queueId) => !messageIds.has(queueId)),
    duplicates,
    unacknowledged: [...messageIds.keys()].filter((queueId) => !accepted.has(queueId)).length,
    wrong,
  };
}
