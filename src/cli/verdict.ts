/** How it goes in one line: what `postern status` begins with. */
import type { StatusView } from "../admin/views.ts";
import { stateOf, type DoorWord } from "./door-view.ts";

/** `bad`: mail is refused, held or in danger now. `warned`: it goes, and somebody should look. */
export interface Verdict {
  readonly level: "well" | "warned" | "bad";
  readonly text: string;
}

type Looked = Pick<StatusView, "ready" | "alerts" | "upstreams" | "routes" | "queue">;

/** The worst that is known, without what the lines below explain. */
export function verdictOf({ ready, alerts, upstreams, routes, queue }: Looked): Verdict {
  if (!ready.ok) return { level: "bad", text: "Mail is not accepted." };
  const held = queue.waiting.held === 0 ? "" : `, ${count(queue.waiting.held, "recipient")} held`;
  const words = new Map<string, DoorWord>(upstreams.map((upstream) => [upstream.name, stateOf(upstream)]));
  const named = (word: DoorWord, among: Iterable<string> = words.keys()): string =>
    [...among].filter((name) => words.get(name) === word).join(", ");
  const shut = named("held");
  const paused = named("paused");
  const why = (among?: Iterable<string>): string =>
    [suffixed(named("held", among), "closed"), suffixed(named("paused", among), "paused")].filter((part) => part !== "").join(", ");
  // Where a route leads by another way nothing waits at a closed one.
  const stuck = routes.filter(({ via }) => via.every((name) => words.get(name) === "held" || words.get(name) === "paused"));
  const doors = new Set(stuck.flatMap(({ via }) => via));
  if (named("held", doors) !== "") {
    const which =
      stuck.length === routes.length ? "" : ` by ${stuck.length === 1 ? "route" : "routes"} ${stuck.map(({ name }) => name).join(", ")}`;
    return { level: "bad", text: `Mail is accepted, but does not leave${which}: ${why(doors)}${held}.` };
  }
  if (upstreams.some((upstream) => stateOf(upstream) === "held" && upstream.waiting > 0))
    return { level: "bad", text: `Mail is accepted, but does not leave by ${shut}: closed${held}.` };
  const critical = alerts.filter(({ severity, alert }) => severity === "critical" && alert !== "upstream.held").length;
  if (critical > 0) return { level: "bad", text: `Mail is in danger: ${count(critical, "critical alert")}${held}.` };
  if (stuck.length > 0)
    return {
      level: "warned",
      text: `Mail is accepted, and waits a while for ${named("paused", doors)}${suffixed(shut && `, ${shut}`, "closed")}${held}.`,
    };
  if (shut !== "" || paused !== "") return { level: "warned", text: `Mail leaves by other ways: ${why()}${held}.` };
  const slowed = named("slowed");
  if (slowed !== "") return { level: "warned", text: `Mail leaves, more slowly by ${slowed} after a throttling${held}.` };
  if (alerts.length > 0) return { level: "warned", text: `Mail leaves; ${count(alerts.length, "alert")} to look at${held}.` };
  if (held !== "") return { level: "warned", text: `Mail leaves${held}.` };
  return { level: "well", text: "All is well: mail is accepted, and every way out is open." };
}

function suffixed(names: string, word: string): string {
  return names === "" ? "" : `${names} ${word}`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
