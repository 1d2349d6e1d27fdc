/** The queue in an operator's hands. */
import type { AdminSources } from "../admin/admin.ts";
import type { Deliverer } from "../deliver/scheduler.ts";
import type { Queue } from "../queue/queue.ts";

/** Most recipients that are looked at to find the doors of a retry; beyond, all doors are tried. */
const MOST_LOOKED_AT = 1000;

/**
 * The queue as the operator acts on it: a bounce tells people, and a retry also tries the doors that the mail waits for, closed or paused, instead of leaving that to
 * the next probe.
 */
export function operatorQueue(queue: Queue, deliverer: Deliverer): AdminSources["queue"] {
  return {
    list: (filter, limit, after) => queue.list(filter, limit, after),
    show: (queueId) => queue.show(queueId),
    find: (query, limit) => queue.find(query, limit),
    contentRow: (queueId, place) => queue.contentRow(queueId, place),
    act: async ({ verb, filter, by }) => {
      const result = verb === "bounce" ? await deliverer.giveUp(filter, by) : await queue.act({ verb, filter, by });
      if (verb !== "retry") {
        if (result.recipients > 0) await deliverer.recount();
      } else {
        const waiting = await queue.list({ ...filter, states: ["queued", "deferred", "held"] }, MOST_LOOKED_AT);
        if (waiting.length >= MOST_LOOKED_AT) deliverer.kick();
        else for (const lane of new Set(waiting.map((entry) => entry.lane))) deliverer.kick(lane);
      }
      return result;
    },
  };
}
