/** What doors tell of connections and sign-ins, with what they do not know themselves: what an administrator can do about it, and whose mailbox it is. */
import { contextOf, judgeRefusal } from "../deliver/judge.ts";
import type { Emit, EventOf } from "../mail/events.ts";
import { STAGES, type Upstream } from "../upstream/upstream.ts";

/** @param door - undefined until it is made; nothing is told before */
export function explained(emit: Emit, door: () => Upstream | undefined): Emit {
  return (event) => {
    const upstream = door();
    if (upstream === undefined) return emit(event);
    switch (event.type) {
      case "upstream.auth.succeeded":
        return emit({ ...event, mailbox: upstream.mailbox });
      case "upstream.auth.failed":
        return emit({ ...event, mailbox: upstream.mailbox, remedy: event.remedy ?? remedyOf(event, upstream) });
      case "upstream.connect.failed":
        return emit({ ...event, remedy: event.remedy ?? remedyOf(event, upstream) });
      default:
        return emit(event);
    }
  };
}

type Failed = EventOf<"upstream.auth.failed"> | EventOf<"upstream.connect.failed">;

function remedyOf({ stage: name, reply, fault }: Failed, upstream: Upstream): string | undefined {
  const stage = STAGES.find((one) => one === name);
  if (stage === undefined || (reply ?? fault) === undefined) return undefined;
  return judgeRefusal({ stage, reply, fault }, contextOf(upstream, { sender: "", isInternal: () => true })).remedy;
}
