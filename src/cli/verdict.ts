/** How it goes in one line: what `postern status` begins with. */
import type { StatusView } from "../admin/views.ts";
import { stateOf, type DoorWord } from "./door-view.ts";

/** `bad`: mail is refused, held or in danger now. `warned`: it goes, and somebody should look. */
export interface Verdict {
  readonly level: "well" | "warned" | "bad";
  readonly text: string;
}

/** The worst that is known, without what the lines below explain. */
export function verdictOf({ ready, alerts, upstreams, queue }: Pick<StatusView, "ready" | "alerts" | "upstreams" | "queue">): Verdict {
  if (!ready.ok) return { level: "bad", text: "Mail is not accepted." };
  const held = queue.waiting.held === 0 ? "" : `, ${count(queue.waiting.held, "recipient")} held`;
  const named = (word: DoorWord): string =>
    upstreams
      .filter((upstream) => stateOf(upstream) === word)
      .map(({ name }) => name)
      .join(", ");
  const shut = named("held");
  // Where the routes lead by another way nothing waits at a closed one.
  const someWait = upstreams.some((upstream) => stateOf(upstream) === "held" && upstream.waiting > 0);
  const allShut = upstreams.length > 0 && upstreams.every((upstream) => stateOf(upstream) === "held");
  if (shut !== "" && (someWait || allShut))
    return { level: "bad", text: `Mail is accepted, but does not leave by ${shut}: closed${held}.` };
  const critical = alerts.filter(({ severity, alert }) => severity === "critical" && alert !== "upstream.held").length;
  if (critical > 0) return { level: "bad", text: `Mail is in danger: ${count(critical, "critical alert")}${held}.` };
  if (shut !== "") return { level: "warned", text: `Mail leaves by other ways: ${shut} closed${held}.` };
  const paused = named("paused");
  if (paused !== "") return { level: "warned", text: `Mail is accepted, and waits a while for ${paused}${held}.` };
  const slowed = named("slowed");
  if (slowed !== "") return { level: "warned", text: `Mail leaves, more slowly by ${slowed} after a throttling${held}.` };
  if (alerts.length > 0) return { level: "warned", text: `Mail leaves; ${count(alerts.length, "alert")} to look at${held}.` };
  if (held !== "") return { level: "warned", text: `Mail leaves${held}.` };
  return { level: "well", text: "All is well: mail is accepted, and every way out is open." };
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
