/** The table of faults as the page about the stand-in prints it. */
import { EVERY_HOST, SIGNED_IN_HOSTS } from "./fault-model.ts";
import type { FaultDefinition, FaultHost } from "./fault-model.ts";
import { FAULTS } from "./fault-table.ts";

const BEGIN = "<!-- faults: begin -->";
const END = "<!-- faults: end -->";
const HEAD = ["| fault | stage | hosts | row | recipient | meaning | answer |", "|---|---|---|---|---|---|---|"];

/** What a fault answers, in Markdown. */
function answerOf({ action }: FaultDefinition): string {
  switch (action.kind) {
    case "reply":
      return `\`${action.text}\`${action.close === true ? ", closes" : ""}`;
    case "delay":
      return `the normal answer, ${action.ms / 1000} s later`;
    case "hold":
      return "no answer until cleared";
    case "omit":
      return `${action.keyword} is not offered`;
    case "aadsts":
      return `AADSTS${action.code}`;
    case "http":
      return `HTTP ${action.status}`;
    case "graph": {
      const wait = action.retryAfter === undefined ? "" : `, \`${action.retryAfter.name}: ${action.retryAfter.value}\``;
      return `HTTP ${action.status} \`${action.code}\` ${action.text}${wait}`;
    }
    default:
      return "connection reset";
  }
}

function hostsOf(hosts: readonly FaultHost[]): string {
  if (EVERY_HOST.every((host) => hosts.includes(host))) return "SMTP";
  if (hosts.length === SIGNED_IN_HOSTS.length && SIGNED_IN_HOSTS.every((host) => hosts.includes(host))) return "SMTP AUTH";
  return hosts.join(", ");
}

/**
 * The page with the table between its two marks replaced by what the code has.
 *
 * @throws Error when the page has lost its marks
 */
export function withFaultTable(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the page has no ${BEGIN} … ${END}`);
  const rows = FAULTS.map((fault) => {
    const recipient = fault.recipient === undefined ? "" : `\`${fault.recipient}@\``;
    const cells = [`\`${fault.name}\``, fault.stage, hostsOf(fault.hosts), fault.row ?? "", recipient, fault.meaning, answerOf(fault)];
    return `| ${cells.join(" | ")} |`;
  });
  return `${page.slice(0, begin)}${BEGIN}\n\n${[...HEAD, ...rows].join("\n")}\n\n${page.slice(end)}`;
}
